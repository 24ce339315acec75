// SPDX-License-Identifier: Apache-2.0

/** The style of reports; there is nothing else to load. */
export const STYLE = `
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
dt { opacity: .7; } dd { margin: 0; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; border-bottom: 1px solid #8884; font-weight: normal; }
thead th { opacity: .7; } .value { font-weight: bold; }
.bars td { border: 0; } .bar { display: inline-block; height: .8em; background: #76b900; }
section { border-top: 1px solid #8884; padding: .5rem 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 1rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 20rem; overflow: auto; margin: 0; }
h4 { margin: .2rem 0; font-size: .85rem; opacity: .7; } .error { color: #c33; }`
