import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import t, { type Test } from 'tap'
import { printListing, tableLines } from '../../src/cli/listing.ts'
import { runProgram } from '../../src/cli/program.ts'
import { formatTable } from '../../src/cli/table.ts'
import { silentTerminal } from '../support/run-cli.ts'
import { limits } from '../../src/limits.ts'
import { builtProgram } from '../e2e/support/node-process.ts'
import { collect, thrownBy } from '../support/outcomes.ts'
import { listenUntilEnd } from '../support/loopback-server.ts'

/* What lists may list a million things: commands print while they read, in memory that does not grow. */

async function* numbered(count: number): AsyncGenerator<string[]> {
  for (let at = 0; at < count; at++) yield await Promise.resolve([`key ${at}`, String(at), 'v'])
}

t.test('a table is as it would be in one piece, with columns as wide as its first page needs', async (t) => {
  const heads = ['KEY', 'REVISION', 'VALUE']
  for (const count of [0, 1, limits.listItemsMax - 1, limits.listItemsMax]) {
    const rows = await collect(numbered(count))
    t.equal((await collect(tableLines(heads, numbered(count), true))).join(''), formatTable(heads, rows))
  }
  t.same(await collect(tableLines(heads, numbered(0), false)), [])
  const lines = await collect(tableLines(heads, numbered(limits.listItemsMax + 1), true))
  t.equal(lines.length, limits.listItemsMax + 2)
  t.equal(lines.at(-2), 'key 999  999       v\n')
  t.equal(lines.at(-1), 'key 1000  1000      v\n', 'a wider cell pushes the rest of its row')
})

t.test(
  'nothing more is read while a piece is not taken, and what was read is printed when the rest fails',
  async (t) => {
    const text = 'x'.repeat(limits.clientPieceBytes / 4)
    let read = 0
    async function* texts(): AsyncGenerator<string> {
      for (; read < 1_000;) {
        read += 1
        yield await Promise.resolve(text)
      }
      throw new Error('cut off')
    }
    const takes: (() => void)[] = []
    const pieces: number[] = []
    const printPiece = async (piece: Uint8Array): Promise<void> => {
      pieces.push(piece.length)
      await new Promise<void>((resolve) => takes.push(resolve))
    }
    const printing = thrownBy(printListing({ printPiece }, texts()))
    let ended = false
    void printing.then(() => (ended = true))
    for (let taken = 0; !ended;) {
      // Everything that can happen without the piece being taken has happened by then.
      await new Promise((resolve) => setImmediate(resolve))
      if (takes.length === 0) continue
      if (read > 4 * (taken + 1)) t.fail(`${read} were read, and ${taken} pieces taken`)
      taken += 1
      takes.shift()?.()
    }
    t.match(await printing, { message: 'cut off' })
    t.equal(
      pieces.reduce((sum, length) => sum + length, 0),
      1_000 * text.length,
    )
  },
)

const perPage = limits.listItemsMax
const padding = 'x'.repeat(300)

/** What a node would answer that has so many keys, versions, leases or locks. */
function pageOf({ url = '' }: IncomingMessage, pages: number): object {
  const { pathname, searchParams } = new URL(url, 'http://node')
  const page = Number(searchParams.get('cursor') ?? 0)
  const cursor = page + 1 < pages ? { cursor: String(page + 1) } : {}
  const numbers = Array.from({ length: perPage }, (_, at) => page * perPage + at)
  const keys = numbers.map((at) => `${padding}/${at}`)
  if (pathname === '/kv' || pathname === '/history') {
    const rest = { createRevision: 1, version: 1, lease: 0, deleted: false }
    const items = keys.map((key, at) => ({ key, value: key.slice(-80), modRevision: at, ...rest }))
    return { items, revision: 1, ...cursor }
  }
  if (pathname === '/locks') {
    const locks = keys.map((name, at) => ({ name, holder: { lease: at, token: at, owner: 'o' }, waiting: 0 }))
    return { locks, ...cursor }
  }
  const lease = { ttlMs: 1_000, remainingMs: 500, use: 'lock', lock: padding, ending: false }
  if (pathname === '/leases') return { leases: numbers.map((id) => ({ id, ...lease })), ...cursor }
  return { id: 7, ...lease, keys, ...cursor }
}

/** Answers with `pages` pages. `onLast`: the last of them is asked for. */
async function largeNode(t: Test, pages: number, onLast: () => void = () => undefined): Promise<string> {
  const server = createServer((request, response) => {
    if (request.url?.includes(`cursor=${pages - 1}`) === true) onLast()
    response.writeHead(200, { 'content-type': 'application/json', 'quorate-revision': '1', 'quorate-served-by': '1' })
    response.end(JSON.stringify(pageOf(request, pages)))
  })
  const host = await listenUntilEnd(t, server)
  return `http://${host}`
}

t.test('every command that lists prints while it reads', async (t) => {
  const pages = 8
  const all = pages * perPage
  const cases: readonly [words: string[], lines: number][] = [
    [['kv', 'ls'], all + 1],
    [['kv', 'ls', '--json'], all],
    [['kv', 'ls', '--keys-only'], all],
    [['kv', 'ls', '--keys-only', '--json'], all],
    [['kv', 'history', 'a'], all + 1],
    [['kv', 'history', 'a', '--json'], all],
    [['lease', 'list'], all + 1],
    [['lease', 'list', '--json'], all],
    [['lease', 'get', '7'], all + 2],
    [['lease', 'get', '7', '--json'], 1],
    [['locks'], all + 1],
    [['locks', '--json'], all],
  ]
  for (const [words, lines] of cases) {
    let [printed, before] = ['', 0]
    const api = await largeNode(t, pages, () => (before = printed.length))
    const code = await runProgram([...words, '--server', api], {
      ...silentTerminal,
      printPiece: async (piece) => void (printed += Buffer.from(piece).toString()),
    })
    t.equal(code, 0, words.join(' '))
    t.equal(printed.split('\n').length - 1, lines)
    // All but the piece that is being put together, and the page that the last one follows.
    const least = printed.length - limits.clientPieceBytes - (3 * printed.length) / pages
    t.ok(before > 0 && before >= least, `${before} of ${printed.length} were printed when the last page was asked for`)
    if (words.includes('--json'))
      t.doesNotThrow(() =>
        printed
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as object),
      )
  }
})

t.test('a hundred thousand keys take no more than a small heap', async (t) => {
  const api = await largeNode(t, 100)
  const [node = '', program = ''] = builtProgram
  const child = spawn(node, ['--max-old-space-size=32', program, 'kv', 'ls', '--server', api])
  t.teardown(() => void child.kill('SIGKILL'))
  let [lines, err] = [0, '']
  child.stdout.setEncoding('latin1').on('data', (text: string) => (lines += text.split('\n').length - 1))
  child.stderr.on('data', (text: Buffer) => (err += text.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  t.strictSame({ code, lines, err: err.slice(0, 2_000) }, { code: 0, lines: 100_001, err: '' })
})
