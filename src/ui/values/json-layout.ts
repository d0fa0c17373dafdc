import { bounds } from '../bounds.ts'

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

/** A valid JSON text with a member or an element a line. Null: it would have more characters than a page may hold. */
export function prettyJson(text: string): string | null {
  const parts: string[] = []
  let length = 0
  const add = (part: string): void => {
    parts.push(part)
    length += part.length
  }
  let depth = 0
  let isOpened = false
  for (const [token] of text.matchAll(TOKEN)) {
    const isClosing = token === '}' || token === ']'
    if (isClosing) depth -= 1
    if (isOpened !== isClosing) add(lineBreak(depth))
    add(token)
    isOpened = token === '{' || token === '['
    if (isOpened) depth += 1
    else if (token === ',') add(lineBreak(depth))
    else if (token === ':') add(' ')
    if (length > bounds.laidOutCharactersMax) return null
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

function lineBreak(depth: number): string {
  return `\n${'  '.repeat(Math.min(depth, INDENTED_LEVELS_MAX))}`
}
