import { bounds } from '../bounds.ts'
import { bytesFromHex, hexOf } from './hex.ts'
import { compactJson, jsonFault, prettyJson } from './json-layout.ts'

export type Value = Uint8Array<ArrayBuffer>

/** How a value is shown and edited. */
export type FormName = 'text' | 'json' | 'hex'

// A byte order mark is part of the value.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/** Control characters that no text has, and that fields for text lose or hide. */
// oxlint-disable-next-line no-control-regex
const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/

/** Null: the value is not valid UTF-8. */
export function textOf(value: Uint8Array): string | null {
  try {
    return decoder.decode(value)
  } catch {
    return null
  }
}

/** The forms that a value can be shown in, the most telling first. */
export function formsOf(value: Uint8Array): readonly [FormName, ...FormName[]] {
  const text = textOf(value)
  if (text === null) return ['hex']
  if (CONTROL.test(text)) return ['hex', 'text']
  if (value.length > bounds.editedBytesMax.json || jsonFault(text) !== null) return ['text', 'hex']
  // A number or a word alone is JSON as well, but nobody means that.
  return /^\s*[[{]/.test(text) ? ['json', 'text', 'hex'] : ['text', 'json', 'hex']
}

const MIXED = 'It has line ends of several kinds: edit it as hex.'

/** A value while it is edited in one of its forms. */
export interface Draft {
  readonly form: FormName
  readonly value: Value
  /** What the field begins with. */
  readonly text: string
}

export type DraftOutcome =
  { readonly kind: 'draft'; readonly draft: Draft } | { readonly kind: 'refused'; readonly reason: string }

/** Begins to edit `value`. A form in which an edit would change more than was edited is refused. */
export function draftOf(value: Value, form: FormName): DraftOutcome {
  const bytesMax = bounds.editedBytesMax[form]
  if (value.length > bytesMax) {
    return refused(`It is too large to be edited as ${form}: ${value.length} of at most ${bytesMax} bytes. Upload it.`)
  }
  if (form === 'hex') return { kind: 'draft', draft: { form, value, text: hexOf(value) } }
  const text = textOf(value)
  if (text === null) return refused('It is not valid UTF-8: edit it as hex.')
  if (CONTROL.test(text)) return refused('It has control characters, which a text field hides: edit it as hex.')
  if (form === 'json') {
    const fault = jsonFault(text)
    if (fault !== null) return refused(`It is not valid JSON: ${fault}.`)
    if (lineEndsOf(isOnOneLine(text) ? text.trim() : text) === 'mixed') return refused(MIXED)
    const laidOut = jsonFieldText(text)
    if (laidOut === null) {
      const most = `${bounds.laidOutCharactersMax} characters`
      return refused(`Laid out as JSON it would have more than ${most}: edit it as text.`)
    }
    return { kind: 'draft', draft: { form, value, text: laidOut } }
  }
  if (lineEndsOf(text) === 'mixed') return refused(MIXED)
  return { kind: 'draft', draft: { form, value, text: fieldText(text) } }
}

export type ValueOutcome =
  { readonly kind: 'value'; readonly value: Value } | { readonly kind: 'invalid'; readonly reason: string }

/** The value that the text of the field stands for. A field that was not changed stands for the very same bytes. */
export function valueOf({ form, value, text: before }: Draft, text: string): ValueOutcome {
  if (text === before) return { kind: 'value', value }
  if (form === 'hex') {
    const outcome = bytesFromHex(text)
    return outcome.kind === 'invalid' ? outcome : { kind: 'value', value: outcome.bytes }
  }
  const original = textOf(value) ?? ''
  const laidOut = lineEndsOf(original) === 'crlf' ? text.replaceAll('\n', '\r\n') : text
  if (form === 'text') return encoded(laidOut)
  const fault = jsonFault(text)
  if (fault !== null) return { kind: 'invalid', reason: `This is not valid JSON: ${fault}.` }
  return encoded(isOnOneLine(original) ? compactJson(text) + spaceAtEnd(original) : laidOut)
}

/** Whether JSON that is written in several lines is saved on one, as the value was before. */
export function isSavedOnOneLine({ form, value }: Draft): boolean {
  const text = form === 'json' ? textOf(value) : null
  return text !== null && text !== '' && isOnOneLine(text)
}

function refused(reason: string): DraftOutcome {
  return { kind: 'refused', reason }
}

function encoded(text: string): ValueOutcome {
  if (!text.isWellFormed())
    return { kind: 'invalid', reason: 'This has half of a character, which UTF-8 cannot carry.' }
  return { kind: 'value', value: encoder.encode(text) }
}

/** JSON that somebody has laid out keeps its lines. Null: laid out it would be too long. */
function jsonFieldText(text: string): string | null {
  return isOnOneLine(text) ? prettyJson(text) : fieldText(text)
}

function isOnOneLine(text: string): boolean {
  return !text.trim().includes('\n')
}

function spaceAtEnd(text: string): string {
  return text.slice(text.trimEnd().length)
}

/** Fields for text know line feeds alone. */
function fieldText(text: string): string {
  return text.replaceAll('\r\n', '\n')
}

function lineEndsOf(text: string): 'lf' | 'crlf' | 'mixed' {
  if (!text.includes('\r')) return 'lf'
  return /(?<!\r)\n|\r(?!\n)/.test(text) ? 'mixed' : 'crlf'
}
