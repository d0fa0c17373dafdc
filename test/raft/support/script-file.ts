import { ScriptError } from './script-words.ts'

/** Commands, and what they print. */
export interface ScriptBlock {
  readonly comment: readonly string[]
  readonly commands: readonly { readonly line: number; readonly text: string }[]
  /** The line of the first expected one. */
  readonly line: number
  readonly expected: readonly string[]
}

interface Comment {
  readonly comment: readonly string[]
}

/** A script as it stands in its file: comments and blocks in order, with blank lines between them. */
export type ScriptPart = ScriptBlock | Comment

const RULE = '----'
const STORY_LINES_MIN = 2
const STORY_LINES_MAX = 6

/**
 * The format: parts with a blank line between them. A part is a comment (every line begins with `#`), or commands, one a line, with
 * or without a comment above, then a line `----`, then what they print. The first part is the story: 2 to 6 lines of comment.
 */
export function parseScript(name: string, text: string): ScriptPart[] {
  const fail = (line: number, message: string): never => {
    throw new ScriptError(`${name}:${line}: ${message}`)
  }
  const lines = text.split('\n')
  if (lines.pop() !== '') fail(lines.length + 1, 'the file does not end with a line break')
  const parts: ScriptPart[] = []
  for (let at = 0; at < lines.length;) {
    if (lines[at] === '') {
      at += 1
      continue
    }
    const end = lines.indexOf('', at)
    const paragraph = lines.slice(at, end < 0 ? lines.length : end)
    parts.push(parsePart(paragraph, at + 1, fail))
    at += paragraph.length
  }
  const [story] = parts
  const length = story === undefined || 'commands' in story ? 0 : story.comment.length
  if (length < STORY_LINES_MIN || length > STORY_LINES_MAX) {
    fail(1, `a script opens with its story, ${STORY_LINES_MIN} to ${STORY_LINES_MAX} lines of comment`)
  }
  if (parts.length < 2) fail(lines.length, 'a script has commands')
  return parts
}

function parsePart(
  paragraph: readonly string[],
  first: number,
  fail: (line: number, message: string) => never,
): ScriptPart {
  if (paragraph.every((line) => line.startsWith('#'))) return { comment: paragraph }
  const begin = paragraph.findIndex((line) => !line.startsWith('#'))
  const comment = paragraph.slice(0, begin)
  const rule = paragraph.indexOf(RULE)
  if (rule < 0) return fail(first + paragraph.length - 1, `"${RULE}" is missing after a command`)
  if (rule === begin) return fail(first + rule, `"${RULE}" stands without a command`)
  const commands = paragraph.slice(begin, rule).map((text, i) => {
    const line = first + begin + i
    if (text.startsWith('#')) return fail(line, 'a comment stands among commands')
    if (text !== text.trim()) return fail(line, 'a command begins or ends with white space')
    return { line, text }
  })
  return { comment, commands, line: first + rule + 1, expected: paragraph.slice(rule + 1) }
}

export function renderScript(parts: readonly ScriptPart[]): string {
  const paragraphs = parts.map((part) => {
    if (!('commands' in part)) return part.comment
    return [...part.comment, ...part.commands.map(({ text }) => text), RULE, ...part.expected]
  })
  return `${paragraphs.map((lines) => lines.join('\n')).join('\n\n')}\n`
}

/** Lines of `expected` alone begin with `-`, those of `actual` alone with `+`. The longest common subsequence stays. */
export function diffLines(expected: readonly string[], actual: readonly string[]): string[] {
  const common = expected.map(() => actual.map(() => 0))
  const length = (i: number, j: number): number => common[i]?.[j] ?? 0
  for (let i = expected.length - 1; i >= 0; i--) {
    const row = common[i] ?? []
    for (let j = actual.length - 1; j >= 0; j--) {
      row[j] = expected[i] === actual[j] ? length(i + 1, j + 1) + 1 : Math.max(length(i + 1, j), length(i, j + 1))
    }
  }
  const diff: string[] = []
  let i = 0
  let j = 0
  while (i < expected.length || j < actual.length) {
    if (i < expected.length && expected[i] === actual[j]) {
      diff.push(`  ${expected[i]}`)
      i += 1
      j += 1
    } else if (j >= actual.length || (i < expected.length && length(i + 1, j) >= length(i, j + 1))) {
      diff.push(`- ${expected[i]}`)
      i += 1
    } else {
      diff.push(`+ ${actual[j]}`)
      j += 1
    }
  }
  return diff
}
