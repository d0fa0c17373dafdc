import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { extname, join, sep } from 'node:path'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { acceptsCoding } from './protocol/accept.ts'
import { sendShared } from './protocol/answer.ts'

export interface FilesOptions {
  /** An absolute path. Its files do not change while the node runs. */
  readonly folder: string
  /** The path before the name of each file, with a slash at its end. */
  readonly prefix: string
  /** Names of files that are not served from here. */
  readonly except?: readonly string[]
  /** Whether the file never changes under its name. */
  readonly isLasting?: (name: string) => boolean
}

/** Other files are not served. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
}

/** By coding: the end of the name of a file that holds another one in it. The first that a client accepts is sent. */
const CODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const

const LASTING = 'public, max-age=31536000, immutable'
const INDEX = 'index.html'

interface Content {
  readonly bytes: Buffer
  /** Of an `ETag`: it changes with the content. */
  readonly tag: string
}

/**
 * Serves the files in a folder of the program, each under a route of its own. A file is read once, and all answers share what was read: whoever
 * asks for a file, and does not read the answer, holds neither a descriptor nor memory of the node. No other path leads to the disk.
 */
export function registerFiles(app: FastifyInstance, { folder, prefix, except = [], isLasting }: FilesOptions): void {
  const names = new Set(readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(withSlashes))
  const contents = new Contents()
  for (const name of names) {
    const type = TYPES[extname(name)]
    if (type === undefined || except.includes(name)) continue
    const codings = CODINGS.filter(([, end]) => names.has(name + end))
    const cacheControl = isLasting?.(name) === true ? LASTING : 'no-cache'
    const about = { 'cache-control': cacheControl, ...(codings.length === 0 ? {} : { vary: 'accept-encoding' }) }
    const serve = (request: FastifyRequest, reply: FastifyReply): FastifyReply | Promise<FastifyReply> => {
      const [coding, end] = codings.find(([one]) => acceptsCoding(request.headers['accept-encoding'], one)) ?? [
        null,
        '',
      ]
      const send = (content: Content): FastifyReply => {
        void reply.headers(about)
        return sendContent(request, reply, { type, coding, content })
      }
      const content = contents.of(join(folder, name) + end)
      return content instanceof Promise ? content.then(send) : send(content)
    }
    app.get(prefix + name, serve)
    if (name === INDEX) app.get(prefix, serve)
  }
}

interface Sent {
  readonly type: string
  readonly coding: string | null
  readonly content: Content
}

function sendContent(
  { headers }: FastifyRequest,
  reply: FastifyReply,
  { type, coding, content: { bytes, tag } }: Sent,
): FastifyReply {
  void reply.header('etag', tag)
  if (headers['if-none-match']?.includes(tag) === true) return reply.code(304).send()
  if (coding !== null) void reply.header('content-encoding', coding)
  return sendShared(reply, type, bytes)
}

/** The contents of the files that have been read, by path. */
class Contents {
  private readonly read = new Map<string, Content | Promise<Content>>()

  /** A promise for the first request, and for those that come before the file is read. */
  of(path: string): Content | Promise<Content> {
    const known = this.read.get(path)
    if (known !== undefined) return known
    const reading = this.load(path)
    this.read.set(path, reading)
    return reading
  }

  private async load(path: string): Promise<Content> {
    try {
      const bytes = await readFile(path)
      const content = { bytes, tag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"` }
      this.read.set(path, content)
      return content
    } catch (error) {
      this.read.delete(path)
      throw error
    }
  }
}

function withSlashes(path: string): string {
  return path.split(sep).join('/')
}
