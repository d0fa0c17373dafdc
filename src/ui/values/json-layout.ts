/**
 * The layout of JSON texts. Only the space between tokens changes: `JSON.parse` and `JSON.stringify` would round long numbers, drop the first of
 * two members of one name, and write `1.0` as `1`.
 */

/** A string, a punctuation mark, or a run of anything else that is no space. */
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]|[^\s"{}[\],:]+/g

/** Deeper levels are not moved further to the right: a text of nothing but brackets would grow with its square. */
const INDENTED_LEVELS_MAX = 32

/** Why `text` is no JSON; null: it is. */
export function jsonFault(text: string): string | null {
  try {
    JSON.parse(text)
    return null
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** A valid JSON text without any space between its tokens. */
export function compactJson(text: string): string {
  return (text.match(TOKEN) ?? []).join('')
}

/** A valid JSON text with a member or an element a line. */
export function prettyJson(text: string): string {
  const parts: string[] = []
  const tokens = text.match(TOKEN) ?? []
  let depth = 0
  for (const [at, token] of tokens.entries()) {
    const isEmpty = (token === '}' || token === ']') && isOpening(tokens[at - 1])
    if ((token === '}' || token === ']') && !isEmpty) parts.push(lineBreak(--depth))
    else if (isEmpty) depth -= 1
    else if (isOpening(tokens[at - 1])) parts.push(lineBreak(depth))
    parts.push(token)
    if (isOpening(token)) depth += 1
    else if (token === ',') parts.push(lineBreak(depth))
    else if (token === ':') parts.push(' ')
  }
  return parts.join('')
}

export interface JsonPart {
  readonly kind: 'name' | 'string' | 'number' | 'word' | 'mark'
  readonly text: string
}

/** A valid JSON text in parts, for colours. Space belongs to the part before it. */
export function jsonParts(text: string): readonly JsonPart[] {
  const parts: { kind: JsonPart['kind']; text: string }[] = []
  let end = 0
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const space = text.slice(end, index)
    end = index + token.length
    const last = parts.at(-1)
    if (last === undefined) parts.push({ kind: 'mark', text: space })
    else last.text += space
    if (token === ':' && last?.kind === 'string') last.kind = 'name'
    const kind = kindOf(token)
    const before = parts.at(-1)
    if (kind === 'mark' && before?.kind === 'mark') before.text += token
    else parts.push({ kind, text: token })
  }
  const last = parts.at(-1)
  if (last !== undefined) last.text += text.slice(end)
  return parts
}

function kindOf(token: string): JsonPart['kind'] {
  if (token.startsWith('"')) return 'string'
  if (/^[-0-9]/.test(token)) return 'number'
  return /^[a-z]/.test(token) ? 'word' : 'mark'
}

function isOpening(token: string | undefined): boolean {
  return token === '{' || token === '['
}

function lineBreak(depth: number): string {
  return `\n${'  '.repeat(Math.min(depth, INDENTED_LEVELS_MAX))}`
}
