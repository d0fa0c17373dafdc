import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import type { RecordView } from './api-types.ts'
import { bytesFrom } from './arguments.ts'

/** Bytes, or text, which is written as UTF-8. Text that holds half of a surrogate pair is refused. */
export type Value = string | ArrayBufferView | ArrayBuffer

/** What is known of a key besides its value. */
export interface KeyHead {
  readonly key: string
  /** The change that created the key. */
  readonly createRevision: number
  /** The change that wrote this value. */
  readonly modRevision: number
  /** Writes since the key was created. */
  readonly version: number
  /** The lease that the key is attached to; 0: none. */
  readonly lease: number
}

/** A key with its value. As JSON it is what the API sends. */
export interface KeyRecord extends KeyHead {
  readonly value: Uint8Array
  /** The value as UTF-8. What is no UTF-8 in it becomes U+FFFD. */
  readonly text: string
  toJSON(): RecordView
}

class StoredRecord implements KeyRecord {
  readonly key: string
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: number
  readonly value: Uint8Array

  constructor(head: KeyHead, value: Uint8Array) {
    this.key = head.key
    this.createRevision = head.createRevision
    this.modRevision = head.modRevision
    this.version = head.version
    this.lease = head.lease
    this.value = value
  }

  get text(): string {
    return bytesFrom('value', this.value).toString('utf8')
  }

  toJSON(): RecordView {
    const { key, value, ...numbers } = this
    return { key, ...jsonValue('value', value), ...numbers }
  }
}

/**
 * A value as JSON carries it. `argument` is for the message of the `TypeError` about one that cannot be written.
 *
 * @internal
 */
export function jsonValue(
  argument: string,
  value: Value,
): { readonly value: string } | { readonly valueBase64: string } {
  const bytes = bytesFrom(argument, value)
  if (typeof value === 'string') return { value }
  return isUtf8(bytes) ? { value: bytes.toString('utf8') } : { valueBase64: bytes.toString('base64') }
}

/**
 * A record as the API sends it, with its value.
 *
 * @internal
 */
export function recordFrom(view: RecordView): KeyRecord {
  const { value, valueBase64 } = view
  return new StoredRecord(
    view,
    valueBase64 === undefined ? Buffer.from(value ?? '') : Buffer.from(valueBase64, 'base64'),
  )
}

/** @internal */
export function headFrom({ key, createRevision, modRevision, version, lease }: KeyHead): KeyHead {
  return { key, createRevision, modRevision, version, lease }
}

/**
 * A record whose value is the body of an answer, and whose numbers are its headers. Null when a header is missing.
 *
 * @internal
 */
export function recordFromAnswer(key: string, headers: IncomingHttpHeaders, value: Uint8Array): KeyRecord | null {
  const number = (name: string): number => Number(headers[`quorate-${name}`] ?? Number.NaN)
  const head = {
    key,
    createRevision: number('create-revision'),
    modRevision: number('mod-revision'),
    version: number('version'),
    lease: headers['quorate-lease'] === undefined ? 0 : number('lease'),
  }
  return Object.values(head).some(Number.isNaN) ? null : new StoredRecord(head, value)
}
