// SPDX-License-Identifier: Apache-2.0

export const INJECTION_KINDS = ['code', 'sqli', 'template', 'xss'] as const

interface Rule {
  kind: string
  /** What the answer names. */
  name: string
  /** Each alone is enough. Written without nested or adjacent repetition, so that their time is linear. */
  patterns: RegExp[]
}

const RULES: Rule[] = [
  {
    kind: 'sqli',
    name: 'sql_injection',
    patterns: [
      // a second statement after the first
      /;\s{0,20}(?:drop|alter|truncate|create)\s{1,20}(?:table|database|schema|index|user|view|role)\b/gi,
      /;\s{0,20}(?:delete\s{1,20}from|insert\s{1,20}into|update\s{1,20}\w{1,64}\s{1,20}set|exec(?:ute)?\s{1,20}\w|shutdown\b|grant\s{1,20}\w)/gi,
      // a condition that always holds, after a quote or a number
      /['"\d)]\s{0,20}\b(?:or|and)\b\s{0,20}(?:(['"]?)(\w{1,32})\1\s{0,20}=\s{0,20}\1\2(?:\b|\1)|true\b)/gi,
      /['"]\s{0,20}\bor\b\s{0,20}['"]\w{0,32}['"]\s{0,20}=\s{0,20}['"]\w{0,32}/gi,
      /\bunion\s{1,20}(?:all\s{1,20})?select\b/gi,
      // a quote that ends the value, and a comment that swallows the rest
      /\w['"]\s{0,20}\)?\s{0,20};?\s{0,20}(?:--|#|\/\*)(?:\s|$|[^\w\s])/g,
      /\b(?:xp_cmdshell|information_schema\.\w|pg_sleep\s{0,5}\(|benchmark\s{0,5}\(\s{0,5}\d|waitfor\s{1,20}delay|load_file\s{0,5}\(|into\s{1,20}(?:out|dump)file)/gi,
    ],
  },
  {
    kind: 'xss',
    name: 'markdown_xss',
    patterns: [
      /<\s{0,10}script\b[^>]{0,500}>?/gi,
      /<\/\s{0,10}script\s{0,10}>/gi,
      /<[a-z][^>]{0,500}?[\s/"']on[a-z]{3,30}\s{0,10}=/gi,
      /(?:href|src|action|formaction|data|srcdoc)\s{0,10}=\s{0,10}["']?\s{0,10}(?:javascript|vbscript|data:text\/html)/gi,
      /\]\(\s{0,10}(?:javascript|vbscript|data:text\/html)[^)\s]{0,500}/gi,
      /\bjavascript:\s{0,10}[\w.]{1,64}\s{0,5}\(/gi,
      /<\s{0,10}(?:iframe|object|embed|applet|base|meta\s{1,10}http-equiv)\b[^>]{0,500}>?/gi,
      // a picture whose address carries data away
      /!\[[^\]]{0,500}\]\(\s{0,10}https?:\/\/[^)\s]{1,500}[?&][\w-]{1,64}=[^)\s]{0,500}\)/gi,
    ],
  },
  {
    kind: 'template',
    name: 'jinja_injection',
    patterns: [
      /\{\{[^{}\n]{1,500}\}\}/g,
      /\{%-?\s{0,10}(?:for|if|set|include|import|extends|block|macro|call|from|raw|with|end\w{1,10})\b[^%\n]{0,500}%\}/g,
      /\{#[^#\n]{1,500}#\}/g,
      /\$\{\s{0,10}(?:T\(|[\w.]{1,64}\s{0,5}\(|\d{1,10}\s{0,5}[*+/-]\s{0,5}\d)[^}\n]{0,500}\}/g,
      /<%=?[^%\n]{1,500}%>/g,
      /#\{\s{0,10}\d{1,10}\s{0,5}[*+/-]\s{0,5}\d[^}\n]{0,200}\}/g,
    ],
  },
  {
    kind: 'code',
    name: 'import_shells',
    patterns: [
      /\b(?:import|from)\s{1,20}(?:os|subprocess|pty|shutil|ctypes|socket|importlib|pickle|commands)\b/g,
      /\b__(?:import|builtins|globals|subclasses|class|mro|bases|getattribute)__\b/g,
      /\b(?:os\.(?:system|popen|exec[lv]\w{0,2}|spawn\w{1,4}|remove|unlink|rmdir)|subprocess\.(?:run|call|Popen|check_output|check_call|getoutput)|pty\.spawn|shutil\.rmtree|pickle\.loads)\s{0,5}\(/g,
      /\b(?:eval|exec|compile)\s{0,5}\(\s{0,5}(?:['"]|input\s{0,5}\(|open\s{0,5}\(|base64|bytes|compile|__|request|code\b)/g,
      /\b(?:require\s{0,5}\(\s{0,5}['"](?:node:)?child_process['"]|child_process\.(?:exec|spawn)|Runtime\.getRuntime\(\)\.exec|process\.binding\s{0,5}\()/g,
      /(?:^|[;&|`\n]|\$\()\s{0,20}(?:rm\s{1,10}-[a-z]{0,8}[rf]|curl\s[^\n|]{1,500}\|\s{0,10}(?:ba|z)?sh\b|wget\s[^\n|]{1,500}\|\s{0,10}(?:ba|z)?sh\b|nc\s{1,10}-\w{0,5}e|bash\s{1,10}-i\b|chmod\s{1,10}777)/g,
      /\/dev\/tcp\/[\w.]{1,100}\/\d/g,
    ],
  },
]

/** Names of the rules that the text triggers, each once. */
export function findInjections(text: string, kinds: readonly string[]): string[] {
  const wanted = RULES.filter((rule) => kinds.includes(rule.kind))
  return wanted.filter((rule) => rule.patterns.some((p) => occurs(p, text))).map((rule) => rule.name)
}

/** The text without what the rules match; repeated until nothing is left, since pieces may join to a new match. */
export function omitInjections(text: string, kinds: readonly string[]): string {
  const patterns = RULES.filter((rule) => kinds.includes(rule.kind)).flatMap((rule) => rule.patterns)
  let out = text
  for (let round = 0; round < 20; round++) {
    const before = out
    for (const pattern of patterns) out = out.replace(pattern, '')
    if (out === before) return out
  }
  return ''
}

function occurs(pattern: RegExp, text: string): boolean {
  pattern.lastIndex = 0
  const found = pattern.test(text)
  pattern.lastIndex = 0
  return found
}
