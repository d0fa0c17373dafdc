import { diffArrays } from 'diff'
import { bounds } from '../bounds.ts'
import { hexOf } from './hex.ts'
import { jsonFault, prettyJson } from './json-layout.ts'
import { textOf, type FormName } from './value-form.ts'

/** A part of a line; changed: the other side of the same line does not have it. */
export interface LinePart {
  readonly text: string
  readonly isChanged: boolean
}

export interface DiffLine {
  readonly kind: 'same' | 'removed' | 'added'
  /** Its number, from 1, on the side that has it; the newer one if both do. */
  readonly number: number
  readonly parts: readonly LinePart[]
}

export interface DiffBlock {
  /** Lines far from any change, which a reader may skip. */
  readonly isFolded: boolean
  readonly lines: readonly DiffLine[]
}

export interface Difference {
  /** How the values were laid out to be compared. */
  readonly form: FormName
  readonly added: number
  readonly removed: number
  readonly blocks: readonly DiffBlock[]
  /** Further lines that are left out. */
  readonly hidden: number
}

export type Comparison =
  | { readonly kind: 'equal' }
  | { readonly kind: 'different'; readonly difference: Difference }
  /** They are too large, or have too little in common, to be compared line by line. */
  | { readonly kind: 'unlike' }

/** Lines around a change that are not folded. */
const CONTEXT_LINES = 3
/** Fewer lines than this are not worth a fold. */
const FOLDED_LINES_MIN = 4
/** Characters that are shown of a line on each side of the part that has changed. */
const LINE_CONTEXT = 120

/** Compares two values line by line. Null: the key was absent. */
export function compareValues(older: Uint8Array | null, newer: Uint8Array | null): Comparison {
  if (isSame(older, newer)) return { kind: 'equal' }
  if ((older?.length ?? 0) + (newer?.length ?? 0) > bounds.comparedBytesMax) return { kind: 'unlike' }
  for (const form of commonForms(older, newer)) {
    const [before, after] = [linesOf(older, form), linesOf(newer, form)]
    // Too long when it is laid out: then the texts are compared.
    if (before === null || after === null) continue
    const lines = linesOfBoth(...withoutCommonEnd(before, after))
    if (lines === null) return { kind: 'unlike' }
    const added = lines.filter(({ kind }) => kind === 'added').length
    const removed = lines.filter(({ kind }) => kind === 'removed').length
    // JSON may differ in its layout alone: then the texts are compared.
    if (added + removed === 0) continue
    const shown = lines.slice(0, bounds.differenceLinesMax)
    const hidden = lines.length - shown.length
    return { kind: 'different', difference: { form, added, removed, blocks: blocksOf(shown), hidden } }
  }
  // An empty value beside an absent key.
  return { kind: 'different', difference: { form: 'text', added: 0, removed: 0, blocks: [], hidden: 0 } }
}

function isSame(a: Uint8Array | null, b: Uint8Array | null): boolean {
  if (a === null || b === null) return a === b
  return a.length === b.length && a.every((byte, at) => byte === b[at])
}

/** The forms that both values have, the most telling first. */
function commonForms(older: Uint8Array | null, newer: Uint8Array | null): readonly FormName[] {
  const texts = [older, newer].filter((value) => value !== null).map(textOf)
  if (texts.includes(null)) return ['hex']
  return texts.every((text) => text !== null && jsonFault(text) === null) ? ['json', 'text'] : ['text']
}

/** Null: it would be too long in this form. */
function linesOf(value: Uint8Array | null, form: FormName): readonly string[] | null {
  if (value === null || value.length === 0) return []
  if (form === 'hex') return hexOf(value).split('\n')
  const text = textOf(value) ?? ''
  const laidOut = form === 'json' ? prettyJson(text) : text
  return laidOut === null ? null : laidOut.split('\n')
}

/** Two texts that end with a line break have an empty line behind it, of which there is nothing to tell. */
function withoutCommonEnd(before: readonly string[], after: readonly string[]) {
  const isCommon = before.length > 1 && after.length > 1 && before.at(-1) === '' && after.at(-1) === ''
  return isCommon ? ([before.slice(0, -1), after.slice(0, -1)] as const) : ([before, after] as const)
}

/** The lines of both in one order; null: too much effort. */
function linesOfBoth(before: readonly string[], after: readonly string[]): DiffLine[] | null {
  const options = { maxEditLength: bounds.comparedChangesMax, timeout: bounds.comparedMsMax }
  const changes = diffArrays([...before], [...after], options)
  if (changes === undefined) return null
  const lines: DiffLine[] = []
  let [oldNumber, newNumber] = [1, 1]
  for (let at = 0; at < changes.length; at++) {
    const { value = [], removed = false, added = false } = changes[at] ?? {}
    const next = changes[at + 1]
    if (removed && next?.added === true) {
      lines.push(...replacedLines(value, next.value, oldNumber, newNumber))
      oldNumber += value.length
      newNumber += next.value.length
      at += 1
    } else if (removed) {
      for (const text of value) lines.push({ kind: 'removed', number: oldNumber++, parts: wholeLine(text) })
    } else {
      for (const text of value)
        lines.push({ kind: added ? 'added' : 'same', number: newNumber++, parts: wholeLine(text) })
      if (!added) oldNumber += value.length
    }
  }
  return lines
}

/** Lines in the place of others: as many pairs as there are show what has changed within them. */
function replacedLines(
  before: readonly string[],
  after: readonly string[],
  oldNumber: number,
  newNumber: number,
): DiffLine[] {
  const line = (kind: 'removed' | 'added', text: string, other: string | undefined, number: number): DiffLine => ({
    kind,
    number,
    parts: other === undefined ? wholeLine(text) : changedLine(text, other),
  })
  return [
    ...before.map((text, at) => line('removed', text, after[at], oldNumber + at)),
    ...after.map((text, at) => line('added', text, before[at], newNumber + at)),
  ]
}

function wholeLine(text: string): readonly LinePart[] {
  return [{ text: cut(text), isChanged: false }]
}

/** A line with the part between what it begins and ends with in common with the other side. */
function changedLine(text: string, other: string): readonly LinePart[] {
  const shorter = Math.min(text.length, other.length)
  let start = 0
  while (start < shorter && text.charCodeAt(start) === other.charCodeAt(start)) start += 1
  if (isInsidePair(text, start)) start -= 1
  let tail = 0
  while (
    tail < shorter - start &&
    text.charCodeAt(text.length - 1 - tail) === other.charCodeAt(other.length - 1 - tail)
  )
    tail += 1
  if (isInsidePair(text, text.length - tail)) tail -= 1
  const end = text.length - tail
  const parts = [
    { text: cutBefore(text.slice(0, start)), isChanged: false },
    { text: cut(text.slice(start, end)), isChanged: true },
    { text: cutBehind(text.slice(end)), isChanged: false },
  ]
  return parts.filter((part) => part.text !== '')
}

/** Whether `at` is between the two halves of a character. */
function isInsidePair(text: string, at: number): boolean {
  const unit = text.charCodeAt(at)
  return at > 0 && unit >= 0xdc00 && unit <= 0xdfff
}

function cutBefore(text: string): string {
  return text.length <= LINE_CONTEXT ? text : `… ${text.slice(-LINE_CONTEXT).toWellFormed()}`
}

function cutBehind(text: string): string {
  return text.length <= LINE_CONTEXT ? text : `${text.slice(0, LINE_CONTEXT).toWellFormed()} …`
}

function cut(text: string): string {
  if (text.length <= bounds.differenceLineCharactersMax) return text
  return `${text.slice(0, bounds.differenceLineCharactersMax).toWellFormed()} … ${text.length - bounds.differenceLineCharactersMax} more characters`
}

/** Splits lines into those near a change and those between. */
function blocksOf(lines: readonly DiffLine[]): DiffBlock[] {
  const isNear = lines.map(() => false)
  for (const [at, { kind }] of lines.entries()) {
    if (kind !== 'same') isNear.fill(true, Math.max(0, at - CONTEXT_LINES), at + CONTEXT_LINES + 1)
  }
  const blocks: DiffBlock[] = []
  for (let start = 0; start < lines.length;) {
    let end = start + 1
    while (end < lines.length && isNear[end] === isNear[start]) end += 1
    const isFolded = isNear[start] === false && end - start >= FOLDED_LINES_MIN
    blocks.push({ isFolded, lines: lines.slice(start, end) })
    start = end
  }
  return blocks
}
