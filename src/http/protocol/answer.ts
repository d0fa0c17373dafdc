import { isUtf8 } from 'node:buffer'
import type { FastifyReply } from 'fastify'
import { keyToText, type Key, type KeyRecord } from '../../kv/index.ts'
import type { AnswerContext } from '../../api/services.ts'
import { ApiResponse } from './api-response.ts'
import type { Reflected } from '../../lib/errors.ts'

export const JSON_TYPE = 'application/json; charset=utf-8'
export const BYTES_TYPE = 'application/octet-stream'
export const NDJSON_TYPE = 'application/x-ndjson'

/** Header names are in lower case, as Fastify keeps them. */
export interface AnswerHeaders {
  [name: string]: string | number
}

/** The headers of every answer on a data route. */
export function answerHeaders(context: AnswerContext): AnswerHeaders {
  const headers: AnswerHeaders = {
    'quorate-revision': context.revision,
    'quorate-served-by': context.servedBy,
    'quorate-consistency': context.consistency,
  }
  if (context.leader !== null) headers['quorate-leader'] = context.leader
  return headers
}

/** The same for a failure. What was decided without the store reflects no state of it. */
export function failureHeaders(
  servedBy: number,
  leader: { readonly id: number } | null,
  reflects: Reflected | null,
): AnswerHeaders {
  const headers: AnswerHeaders = { 'quorate-served-by': servedBy }
  if (leader !== null) headers['quorate-leader'] = leader.id
  if (reflects === null) return headers
  headers['quorate-revision'] = reflects.revision
  headers['quorate-consistency'] = reflects.consistency
  return headers
}

export function etagOf(revision: number): string {
  return `"${revision}"`
}

export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** `"value":"text"` for UTF-8, `"valueBase64":"..."` for anything else. */
function valueMember(value: Uint8Array): string {
  const bytes = bufferOf(value)
  return isUtf8(bytes)
    ? `"value":${JSON.stringify(bytes.toString('utf8'))}`
    : `"valueBase64":"${bytes.toString('base64')}"`
}

function revisionMembers(record: KeyRecord): string {
  const { createRevision, modRevision, version, lease } = record
  return `"createRevision":${createRevision},"modRevision":${modRevision},"version":${version},"lease":${lease}`
}

/** Sends JSON that is already text, or the bytes of that. The exact length is given, so Fastify need not compute it. */
export function sendJson(reply: FastifyReply, headers: AnswerHeaders, json: string | Buffer): FastifyReply {
  headers['content-type'] = JSON_TYPE
  headers['content-length'] = Buffer.byteLength(json)
  return reply.headers(headers).send(json)
}

/** Sends bytes that are kept, and that other answers send as well. */
export function sendShared(reply: FastifyReply, type: string, bytes: Buffer): FastifyReply {
  if (reply.raw instanceof ApiResponse) reply.raw.isShared = true
  return reply.headers({ 'content-type': type, 'content-length': bytes.length }).send(bytes)
}

export function keyJson(key: Key): string {
  return JSON.stringify(keyToText(key))
}

/** A record in its JSON form. */
export function recordJson(key: Key, record: KeyRecord): string {
  return `{"key":${keyJson(key)},${valueMember(record.value)},${revisionMembers(record)}}`
}

export function keyOnlyJson(key: Key, record: KeyRecord): string {
  return `{"key":${keyJson(key)},${revisionMembers(record)}}`
}
