import { isAnyArrayBuffer } from 'node:util/types'
import { limits } from '../limits.ts'
import type { Value } from './records.ts'

/** Programs in JavaScript pass whatever they like. */
function kindOf(given: unknown): string {
  if (given === null || given === undefined) return String(given)
  if (typeof given !== 'object') return `a ${typeof given}`
  return Array.isArray(given) ? 'an array' : `an object (${given.constructor?.name ?? 'without a prototype'})`
}

/** `text`, which goes into a request as UTF-8. Throws `TypeError`, which names the argument, for what is no text or what no encoding carries. */
export function textFrom(argument: string, text: string): string {
  const given: unknown = text
  if (typeof given !== 'string') throw new TypeError(`${argument} must be a string, not ${kindOf(given)}`)
  if (given.isWellFormed()) return given
  throw new TypeError(
    `${argument} ${JSON.stringify(given)} is not well-formed Unicode: it holds half of a surrogate pair`,
  )
}

/** `idempotencyKey`, which goes into a header. Throws `TypeError` when no server would take it. */
export function nameFrom(idempotencyKey: string): string {
  const name = textFrom('idempotencyKey', idempotencyKey)
  if (/^[\x21-\x7e]+$/.test(name) && name.length <= limits.idempotencyKeyBytesMax) return name
  throw new TypeError(
    `the idempotency key ${JSON.stringify(name)} is not 1 to ${limits.idempotencyKeyBytesMax} visible ASCII characters`,
  )
}

/** `value` as it is written: bytes are not copied. Throws `TypeError` for what is neither text nor bytes, and for text that no encoding carries. */
export function bytesFrom(argument: string, value: Value): Buffer {
  const given: unknown = value
  if (typeof given === 'string') {
    if (given.isWellFormed()) return Buffer.from(given)
    throw new TypeError(
      `${argument} is not well-formed Unicode: it holds half of a surrogate pair; bytes that are no text go as a Uint8Array`,
    )
  }
  if (ArrayBuffer.isView(given)) return Buffer.from(given.buffer, given.byteOffset, given.byteLength)
  if (isAnyArrayBuffer(given)) return Buffer.from(given)
  throw new TypeError(
    `${argument} must be a string, a Uint8Array or another view of bytes, or an ArrayBuffer, not ${kindOf(given)}`,
  )
}
