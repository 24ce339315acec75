// SPDX-License-Identifier: Apache-2.0

export interface Point {
  step: number
  value: number
}

const BARS = '▁▂▃▄▅▆▇█'

/** A line of blocks, the highest value the tallest. */
export function sparkline(values: number[]): string {
  const low = Math.min(...values)
  const range = Math.max(...values) - low || 1
  return values.map((v) => BARS[Math.round(((v - low) / range) * (BARS.length - 1))]).join('')
}

const WIDTH = 720
const HEIGHT = 400
const LEFT = 56
const TOP = 44
const RIGHT = 20
const BOTTOM = 44

/** An SVG of training and validation loss by step, for any viewer, without outside fonts or scripts. */
export function lossSvg(title: string, training: Point[], validation: Point[]): string {
  const all = [...training, ...validation]
  const last = Math.max(1, ...all.map((p) => p.step))
  const top = Math.max(...all.map((p) => p.value)) * 1.05 || 1
  const x = (step: number) => (LEFT + (step / last) * (WIDTH - LEFT - RIGHT)).toFixed(1)
  const y = (value: number) => (HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM)).toFixed(1)
  const path = (points: Point[]) => points.map((p) => `${x(p.step)},${y(p.value)}`).join(' ')
  const grid = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const value = part * top
    const line = `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${y(value)}" y2="${y(value)}" stroke="#ddd"/>`
    return `${line}<text x="${LEFT - 8}" y="${Number(y(value)) + 4}" text-anchor="end">${value.toFixed(2)}</text>`
  })
  const ticks = [0, 0.5, 1].map((part) => {
    const step = Math.round(part * last)
    return `<text x="${x(step)}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${step}</text>`
  })
  const dots = validation.map((p) => `<circle cx="${x(p.step)}" cy="${y(p.value)}" r="4" fill="#d9480f"/>`)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="22" font-size="15">${escapeXml(title)}</text>
${grid.join('\n')}
${ticks.join('\n')}
<text x="${WIDTH / 2}" y="${HEIGHT - 8}" text-anchor="middle">step</text>
<polyline points="${path(training)}" fill="none" stroke="#1864ab" stroke-width="2"/>
<polyline points="${path(validation)}" fill="none" stroke="#d9480f" stroke-width="1" stroke-dasharray="4 3"/>
${dots.join('\n')}
<text x="${WIDTH - RIGHT}" y="22" text-anchor="end"><tspan fill="#1864ab">training loss</tspan> <tspan fill="#d9480f">validation loss</tspan></text>
</svg>
`
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
