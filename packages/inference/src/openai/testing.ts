// SPDX-License-Identifier: Apache-2.0

/** Whether a text follows a GBNF grammar; a small backtracking matcher for tests. */
export function matches(grammar: string, text: string): boolean {
  const rules = new Map(
    grammar.split('\n').map((line) => {
      const at = line.indexOf(' ::= ')
      return [line.slice(0, at), parse(tokens(line.slice(at + 5)))] as const
    }),
  )
  const root = rules.get('root')
  return root !== undefined && ends(root, text, 0, rules).has(text.length)
}

type Node =
  | { kind: 'text'; text: string }
  | { kind: 'class'; pattern: RegExp }
  | { kind: 'rule'; name: string }
  | { kind: 'any'; of: Node[] }
  | { kind: 'all'; of: Node[] }
  | { kind: 'repeat'; of: Node; min: number; max: number }

function tokens(body: string): string[] {
  return body.match(/"(\\.|[^"\\])*"|\[(\\.|[^\]\\])*\]|[a-z][\w-]*|\{\d+(,\d*)?\}|[()|*?+]/g) ?? []
}

function parse(words: string[]): Node {
  const choices: Node[] = []
  let parts: Node[] = []
  while (words.length > 0 && words[0] !== ')') {
    const word = words.shift() ?? ''
    if (word === '|') {
      choices.push({ kind: 'all', of: parts })
      parts = []
    } else {
      parts.push(suffixed(single(word, words), words))
    }
  }
  choices.push({ kind: 'all', of: parts })
  return { kind: 'any', of: choices }
}

function single(word: string, words: string[]): Node {
  if (word === '(') {
    const inner = parse(words)
    words.shift()
    return inner
  }
  if (word.startsWith('"')) return { kind: 'text', text: unescaped(word.slice(1, -1)) }
  if (word.startsWith('[')) return { kind: 'class', pattern: new RegExp(`^${word}$`, 'u') }
  return { kind: 'rule', name: word }
}

function unescaped(text: string): string {
  return text.replace(/\\(x([0-9A-F]{2})|n|.)/g, (_, all: string, hex?: string) =>
    hex ? String.fromCharCode(Number.parseInt(hex, 16)) : all === 'n' ? '\n' : all,
  )
}

function suffixed(node: Node, words: string[]): Node {
  const next = words[0] ?? ''
  const bounds = /^\{(\d+)(,(\d*))?\}$/.exec(next)
  if (!bounds && !'*?+'.includes(next || ' ')) return node
  words.shift()
  if (bounds) {
    const min = Number(bounds[1])
    const max = bounds[2] === undefined ? min : bounds[3] ? Number(bounds[3]) : Number.POSITIVE_INFINITY
    return { kind: 'repeat', of: node, min, max }
  }
  const max = next === '?' ? 1 : Number.POSITIVE_INFINITY
  return { kind: 'repeat', of: node, min: next === '+' ? 1 : 0, max }
}

function ends(node: Node, text: string, at: number, rules: Map<string, Node>): Set<number> {
  switch (node.kind) {
    case 'text':
      return new Set(text.startsWith(node.text, at) ? [at + node.text.length] : [])
    case 'class':
      return new Set(at < text.length && node.pattern.test(text[at] ?? '') ? [at + 1] : [])
    case 'rule': {
      const rule = rules.get(node.name)
      if (!rule) throw new Error(`the grammar has no rule ${node.name}`)
      return ends(rule, text, at, rules)
    }
    case 'any':
      return new Set(node.of.flatMap((choice) => [...ends(choice, text, at, rules)]))
    case 'all':
      return sequence(node.of, text, at, rules)
    case 'repeat':
      return repeated(node, text, at, rules)
  }
}

function sequence(parts: Node[], text: string, at: number, rules: Map<string, Node>): Set<number> {
  let here = new Set([at])
  for (const part of parts) here = new Set([...here].flatMap((n) => [...ends(part, text, n, rules)]))
  return here
}

function repeated(node: Node & { kind: 'repeat' }, text: string, at: number, rules: Map<string, Node>) {
  const found = new Set<number>(node.min === 0 ? [at] : [])
  let here = new Set([at])
  for (let n = 1; n <= node.max && here.size > 0; n++) {
    here = new Set([...here].flatMap((m) => [...ends(node.of, text, m, rules)].filter((e) => e > m)))
    if (n >= node.min) for (const e of here) found.add(e)
  }
  return found
}
