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
      /\bunion\b(?:(?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){1,20}(?:all|distinct))?(?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}\(?\s{0,5}select\b/gi,
      /['"](?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}\)?(?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}(?:\bx?or\b|\band\b|\|\||&&)(?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}\(?(['"]?)(\w{1,32})\1\)?\s{0,20}={1,2}\s{0,20}\(?\1\2/gi,
      // a quote that ends the value, more of the statement, and a comment at the end of the line
      /['"](?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}\)?(?:[\s+]|%0[9a-d]|%20|\/\*[^*]{0,20}\*\/){0,20}(?:\b(?:x?or|and|div|group|order|having|procedure|union)\b|\|\||&&)[^\n]{1,300}?(?:--|#)[\s+-]{0,5}$/gim,
      // a quote that ends the value, and a comment that swallows the rest
      /\w['"]\s{0,20}\)?\s{0,20};?\s{0,20}(?:--|#|\/\*)(?:\s|$|[^\w\s])/g,
      /\b(?:xp_cmdshell|information_schema\.\w|pg_sleep\s{0,5}\(|benchmark\s{0,5}\(\s{0,5}\d|waitfor\s{1,20}delay|load_file\s{0,5}\(|into\s{1,20}(?:out|dump)file|updatexml\s{0,5}\(|extractvalue\s{0,5}\(\s{0,5}\d|dbms_\w{1,20}\.\w{1,30}\s{0,5}\(|randomblob\s{0,5}\(|@@version\b|select\s{1,20}(?:version|database|user|current_user)\s{0,5}\(\s{0,5}\))/gi,
      // the same for queries written in JavaScript
      /['"]\s{0,20};\s{0,20}(?:return\s{1,20}(?:true|1)\b|db\.\w{1,64}\.(?:drop|remove|insert|deleteMany)\s{0,5}\()/gi,
    ],
  },
  {
    kind: 'xss',
    name: 'markdown_xss',
    patterns: [
      /<\s{0,10}script\b[^>]{0,500}>?/gi,
      /<\/\s{0,10}script\s{0,10}>/gi,
      /<[a-z][^>]{0,500}?[\s/"']on[a-z]{3,30}\s{0,10}=/gi,
      // an attribute that breaks out of another's quotes, also with a mark that filters stumble over
      /["'\s]on[{`]?[a-z]{2,30}\s{0,5}=\s{0,5}["']?[\w.$]{1,64}\s{0,5}[(`]/gi,
      /['"]\s{0,5}[-;+,]\s{0,5}(?:alert|confirm|prompt|eval|fetch|print)\s{0,5}[(`][^)\n]{0,100}\)?\s{0,5}(?:\/\/|[-+;,]\s{0,5}['"]|$)/gim,
      /\balert\s{0,5}[(`]\s{0,5}document\.\w{1,30}\s{0,5}[)`]/gi,
      /[?&]\w{0,30}=['"]?\s{0,5}\+\s{0,5}(?:document\.cookie|localStorage)/gi,
      /<\s{0,10}style\b[^>]{0,200}>\s{0,20}@import/gi,
      /style\s{0,5}=\s{0,5}["'][^"'\n]{0,300}expression\s{0,5}\(/gi,
      /(?:href|src|action|formaction|data|srcdoc)\s{0,10}=\s{0,10}["']?\s{0,10}(?:javascript|vbscript|data:text\/html)/gi,
      /\]\(\s{0,10}(?:javascript|vbscript|data:text\/html)[^)\s]{0,500}/gi,
      /\bj[\t\r\n]{0,3}a[\t\r\n]{0,3}v[\t\r\n]{0,3}a[\t\r\n]{0,3}s[\t\r\n]{0,3}c[\t\r\n]{0,3}r[\t\r\n]{0,3}i[\t\r\n]{0,3}p[\t\r\n]{0,3}t[\t\r\n]{0,3}:\s{0,10}[\w.]{1,64}\s{0,5}[(`]/gi,
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
      /[#*]\{\s{0,10}T\(/g,
      /\{(?:php\}|(?:if\s{1,10})?(?:system|passthru|shell_exec|exec)\s{0,5}\()/gi,
      /\.getClass\(\)\.forName\(/g,
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

// What browsers and interpreters read as characters; `&lt;` is left, since it is how markup is made harmless.
const ESCAPES =
  /&#x([0-9a-f]{1,6});?|&#(\d{1,7});?|\\{1,2}u\{([0-9a-f]{1,6})\}|\\{1,2}u([0-9a-f]{4})|\\{1,2}x([0-9a-f]{2})/gi
const INVISIBLE = /[\u00AD\u200B-\u200F\u2060\uFEFF]|%00/g
const LAST_CHARACTER = 0x10ffff

/** The text with its characters written out. */
function plain(text: string): string {
  return text
    .replace(ESCAPES, (all, hex, decimal, ...others: unknown[]) => {
      const digits = hex ?? others.slice(0, 3).find((one) => one !== undefined)
      const code = decimal ? Number(decimal) : Number.parseInt(String(digits), 16)
      return code <= LAST_CHARACTER ? String.fromCodePoint(code) : all
    })
    .replace(INVISIBLE, '')
}

/** Names of the rules that the text triggers, as it is or with its escapes read, each once. */
export function findInjections(text: string, kinds: readonly string[]): string[] {
  const wanted = RULES.filter((rule) => kinds.includes(rule.kind))
  const texts = [...new Set([text, plain(text)])]
  return wanted
    .filter((rule) => rule.patterns.some((pattern) => texts.some((one) => occurs(pattern, one))))
    .map((rule) => rule.name)
}

/** The text without what the rules match; repeated until nothing is left, since pieces may join to a new match. */
export function omitInjections(text: string, kinds: readonly string[]): string {
  const patterns = RULES.filter((rule) => kinds.includes(rule.kind)).flatMap((rule) => rule.patterns)
  // What only its escapes show cannot be cut out of them: then the text is given with its characters.
  const written = plain(text)
  let out = patterns.some((p) => !occurs(p, text) && occurs(p, written)) ? written : text
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
