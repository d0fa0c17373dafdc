import t from 'tap'
import { ProblemError, UnreachableError, UnreadableError, type Problem } from '../../src/ui/api/problem.ts'
import { bounds } from '../../src/ui/bounds.ts'
import { readLevel, type KeyListing, type LevelEntry, type LevelOptions } from '../../src/ui/keys/key-level.ts'
import { bytesOf } from '../../src/ui/data/utf8.ts'
import { afterKey, afterPrefix } from '../../src/ui/keys/key-order.ts'
import { KeyTree, type TreeRow } from '../../src/ui/keys/key-tree.ts'
import { plainText, visibleText } from '../../src/ui/data/visible-text.ts'
import { eventually } from '../e2e/support/eventually.ts'
import {
  isCompacted,
  WatchFeed,
  type FeedView,
  type WatchEvent,
  type WatchSource,
} from '../../src/ui/watch/watch-feed.ts'

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

/** Lists `keys` as a node does, and counts what it is asked for. */
function listingOf(keys: readonly string[]): KeyListing & { requests: number; listed: number } {
  return {
    requests: 0,
    listed: 0,
    list(range, limit) {
      const sorted = keys.toSorted(byBytes)
      for (const bound of [range.start, range.end]) {
        if (bound !== null && (bytesOf(bound) > 4096 || bound === '')) throw new Error(`no key: ${bound}`)
      }
      const inside = sorted.filter(
        (key) => byBytes(key, range.start ?? '') >= 0 && (range.end === null || byBytes(key, range.end) < 0),
      )
      const items = inside.slice(0, limit).map((key) => ({ key, modRevision: 2, version: 1, lease: 0 }))
      this.requests += 1
      this.listed += items.length
      return Promise.resolve({ items, hasMore: inside.length > items.length })
    },
  }
}

const anyPart = { prefix: '', separator: '/', from: null, entriesMax: 200, requestsMax: 50 }
const nameOf = (entry: LevelEntry): string => (entry.kind === 'key' ? entry.key.key : `${entry.prefix}*`)

async function wholeLevel(listing: KeyListing, options: Partial<LevelOptions>): Promise<string[]> {
  const names: string[] = []
  for (let from: string | null = null; ;) {
    const part = await readLevel(listing, { ...anyPart, ...options, from })
    names.push(...part.entries.map(nameOf))
    if (part.next === null) return names
    from = part.next
  }
}

t.test('the end of a prefix is above every key that begins with it, and nothing is between', async (t) => {
  for (const prefix of ['a', 'a/', 'é', '\u{ffff}', '\u{d7ff}', '😀/', 'a\u{10ffff}']) {
    const end = afterPrefix(prefix)
    if (end === null) throw new Error('it has an end')
    t.ok(end.isWellFormed(), JSON.stringify(prefix))
    for (const rest of ['', '\0', 'z', '\u{10ffff}'.repeat(3)]) t.ok(byBytes(prefix + rest, end) < 0)
  }
  t.equal(afterPrefix('a/'), 'a0')
  t.equal(afterPrefix('\u{d7ff}'), '\u{e000}', 'no half of a character')
  t.equal(afterPrefix('b\u{10ffff}'), 'c')
  t.equal(afterPrefix('\u{10ffff}'), null)
  t.equal(afterPrefix(''), null)
})

t.test('the bounds of the longest keys are keys', async (t) => {
  t.equal(afterKey('a'), 'a\0')
  t.equal(afterKey('a'.repeat(4096)), `${'a'.repeat(4095)}b`, 'no key begins with the longest')
  const wider = `${'a'.repeat(4095)}\x7f`
  t.equal(afterPrefix(wider), `${'a'.repeat(4094)}b`, 'the next character needs two bytes')
})

t.test('a level of the tree has its keys and branches in the order of the store', async (t) => {
  const keys = ['a', 'a-b', 'a/1', 'a/2', 'a//3', 'b/c/d', 'b/', '/lead', 'z', '😀/x', '\u{ffee}/x', '..']
  t.same(await wholeLevel(listingOf(keys), {}), ['..', '/*', 'a', 'a-b', 'a/*', 'b/*', 'z', '\u{ffee}/*', '😀/*'])
  t.same(await wholeLevel(listingOf(keys), { prefix: 'a/' }), ['a//*', 'a/1', 'a/2'])
  t.same(await wholeLevel(listingOf(keys), { prefix: 'b/' }), ['b/', 'b/c/*'])
  t.same(await wholeLevel(listingOf(keys), { prefix: 'a', separator: '' }), ['a', 'a-b', 'a//3', 'a/1', 'a/2'])
  t.same(await wholeLevel(listingOf(keys), { prefix: 'nothing' }), [])
  t.same(await wholeLevel(listingOf(['a::b::c', 'a:d']), { separator: '::' }), ['a::*', 'a:d'])
})

t.test('parts of a level, however small, give it whole', async (t) => {
  const keys = Array.from({ length: 60 }, (_, at) => (at % 3 === 0 ? `k${at}` : `b${at % 5}/${at}`))
  const whole = await wholeLevel(listingOf(keys), {})
  t.equal(new Set(whole).size, whole.length)
  for (const bounds of [{ entriesMax: 1 }, { entriesMax: 7 }, { requestsMax: 1 }])
    t.same(await wholeLevel(listingOf(keys), bounds), whole)
})

t.test('what is below a branch is skipped, however much it is', async (t) => {
  const keys = ['huge/', 'next/'].flatMap((prefix) => Array.from({ length: 20_000 }, (_, at) => `${prefix}${at}`))
  const listing = listingOf([...keys, 'last'])
  t.same(await wholeLevel(listing, {}), ['huge/*', 'last', 'next/*'])
  t.ok(listing.requests <= 4 && listing.listed < 200, `${listing.requests} requests for ${listing.listed} keys`)
})

t.test('one part of a level asks for no more than it may', async (t) => {
  const listing = listingOf(Array.from({ length: 5000 }, (_, at) => `b${at}/x`))
  const { entries, next } = await readLevel(listing, { ...anyPart, entriesMax: 1000, requestsMax: 3 })
  t.equal(listing.requests, 3)
  t.ok(entries.length > 100 && next !== null)
})

const rowText = (row: TreeRow): string =>
  `${'  '.repeat(row.depth - 1)}${row.kind === 'key' || row.kind === 'branch' ? row.label : row.kind}`

async function openTree(keys: readonly string[], prefix = '', separator = '/') {
  const listing = listingOf(keys)
  const tree = new KeyTree({ prefix, separator }, listing)
  await tree.load()
  return { listing, tree, lines: (): string[] => tree.rows.value.map(rowText) }
}

t.test('a branch of the tree is read when it is opened, and closed with all that is below it', async (t) => {
  const { tree, lines } = await openTree(['a/b/1', 'a/b/2', 'a/c', 'a/', 'd'])
  t.same(lines(), ['a/', 'd'])
  await tree.open('a/')
  await tree.open('a/b/')
  t.same(lines(), ['a/', '  ', '  b/', '    1', '    2', '  c', 'd'])
  tree.close('a/')
  t.same(lines(), ['a/', 'd'])
  await tree.open('a/')
  t.same(lines(), ['a/', '  ', '  b/', '  c', 'd'], 'what is below is closed as well')
  tree.close('a/')
  await tree.reveal('a/b/2')
  t.same(lines(), ['a/', '  ', '  b/', '    1', '    2', '  c', 'd'])
})

t.test('a tree of some keys shows their names from the last separator on', async (t) => {
  t.same((await openTree(['app/search', 'app/settings/x', 'b'], 'app/se')).lines(), ['search', 'settings/'])
  t.same((await openTree(['a/b', 'a/c'], '', '')).lines(), ['a/b', 'a/c'])
  t.same((await openTree([])).lines(), ['empty'])
})

t.test('a level that grows too long forgets its first keys, and can begin again', async (t) => {
  const { tree, lines } = await openTree(Array.from({ length: 1500 }, (_, at) => `k${String(at).padStart(4, '0')}`))
  t.equal(lines().length, bounds.treePartEntries + 1)
  t.equal(lines().at(-1), 'more')
  for (let part = 0; part < 5; part++) await tree.more('')
  t.equal(lines().length, bounds.treeLevelEntriesMax + 2)
  t.same([lines()[0], lines()[1], lines().at(-1)], ['first', 'k0200', 'more'])
  await tree.more('')
  await tree.more('')
  t.same([lines()[0], lines().at(-1)], ['first', 'k1499'])
  await tree.first('')
  t.same([lines()[0], lines().at(-1)], ['k0000', 'more'])
})

t.test('what is shown of a level that has grown too long is read again where it begins', async (t) => {
  const keys = Array.from({ length: 1500 }, (_, at) => `k${String(at).padStart(4, '0')}`)
  const { tree, lines } = await openTree(keys)
  for (let part = 0; part < 5; part++) await tree.more('')
  keys.splice(keys.indexOf('k0300'), 1, 'k0300/new')
  keys.splice(keys.indexOf('k0200'), 1)
  await tree.reload()
  t.same([lines()[0], lines()[1], lines().at(-1)], ['first', 'k0201', 'more'])
  t.equal(lines().length, bounds.treeLevelEntriesMax + 2)
  t.notOk(lines().includes('k0300'))
  t.ok(lines().some((line) => line.includes('k0300/')))
  keys.length = 0
  await tree.reload()
  t.same(lines(), ['first', 'empty'])
  await tree.reload()
  t.same(lines(), ['empty'])
})

t.test('a tree that grows too large closes the branches that were opened first', async (t) => {
  const branches = Array.from({ length: 5 }, (_, at) => `b${at}/`)
  const keys = branches.flatMap((prefix) => Array.from({ length: 1000 }, (_, at) => `${prefix}${at}`))
  const { tree } = await openTree(keys)
  for (const prefix of branches) {
    await tree.open(prefix)
    for (let part = 0; part < 4; part++) await tree.more(prefix)
  }
  const open = tree.rows.value.flatMap((row) => (row.kind === 'branch' && row.isOpen ? [row.prefix] : []))
  t.same(open, ['b3/', 'b4/'], 'three whole ones would be too many')
})

t.test('a level that cannot be read says so, and can be read again', async (t) => {
  const listing = listingOf(['a'])
  const failing = { list: (): Promise<never> => Promise.reject(new UnreachableError('gone')) }
  let current: KeyListing = failing
  const tree = new KeyTree({ prefix: '', separator: '/' }, { list: (...words) => current.list(...words) })
  await tree.load()
  t.same(tree.rows.value.map(rowText), ['failed'])
  current = listing
  await tree.first('')
  t.same(tree.rows.value.map(rowText), ['a'])
})

t.test('what is asked of a level last is what it shows', async (t) => {
  const listing = listingOf(Array.from({ length: 1500 }, (_, at) => `k${String(at).padStart(4, '0')}`))
  let isHeld = false
  const held: (() => void)[] = []
  const tree = new KeyTree(
    { prefix: '', separator: '/' },
    {
      async list(...asked) {
        if (isHeld) await new Promise<void>((resolve) => held.push(resolve))
        return await listing.list(...asked)
      },
    },
  )
  const lines = (): string[] => tree.rows.value.map(rowText)
  /** Lets go what is held, the last first, until both are done. */
  const untilDone = async (...both: readonly Promise<void>[]): Promise<void> => {
    let isDone = false
    const done = Promise.all(both).then(() => (isDone = true))
    await eventually('both are done', () => {
      held.pop()?.()
      return isDone ? true : null
    })
    await done
    isHeld = false
  }
  await tree.load()
  for (let part = 0; part < 5; part++) await tree.more('')
  isHeld = true
  await untilDone(tree.more(''), tree.first(''))
  t.same([lines()[0], lines().at(-1), lines().length], ['k0000', 'more', bounds.treePartEntries + 1])

  isHeld = true
  const more = tree.more('')
  const asked = listing.requests
  await untilDone(more, tree.reload())
  t.ok(listing.requests > asked + 1, 'what is being read is read again')
  t.equal(lines()[0], 'k0000')
})

/** A source of watches that a test plays by hand. */
class PlayedWatches implements WatchSource {
  readonly opened: (number | null)[] = []
  refusal: Error | null = null
  private told: WatchEvent[] = []
  private wake: (() => void) | null = null
  private breaking: Error | null = null

  async open(_target: object, since: number | null, signal: AbortSignal): Promise<AsyncIterable<WatchEvent>> {
    this.opened.push(since)
    if (this.refusal !== null) throw this.refusal
    return await Promise.resolve(this.play(signal))
  }

  tell(...events: WatchEvent[]): void {
    this.told.push(...events)
    this.wake?.()
  }

  breakOff(): void {
    this.breaking = new UnreachableError('the stream broke off')
    this.wake?.()
  }

  private async *play(signal: AbortSignal): AsyncGenerator<WatchEvent> {
    for (;;) {
      while (this.told.length > 0) yield* this.told.splice(0, 1)
      if (this.breaking !== null) {
        const error = this.breaking
        this.breaking = null
        throw error
      }
      await new Promise<void>((resolve) => {
        this.wake = resolve
        signal.addEventListener('abort', () => resolve())
      })
      signal.throwIfAborted()
    }
  }
}

async function seen(feed: WatchFeed, what: string, condition: (view: FeedView) => boolean): Promise<FeedView> {
  return await new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not seen: ${what}: ${JSON.stringify(feed.view.value)}`)), 20_000)
    const look = (): void => {
      if (!condition(feed.view.value)) return
      clearTimeout(late)
      leave()
      resolve(feed.view.value)
    }
    const leave = feed.view.follow(look)
    look()
  })
}

const put = (key: string, revision: number, more?: true): WatchEvent => ({
  type: 'put',
  key,
  value: 'v',
  version: 1,
  revision,
  ...(more === undefined ? {} : { more }),
})
const progress = (revision: number): WatchEvent => ({ type: 'progress', revision })
const namesIn = (view: FeedView): string[] => view.changes.map(({ key, revision }) => `${key}@${revision}`)

t.test('a watch goes on behind the last revision that it has seen whole, and tells nothing twice', async (t) => {
  const source = new PlayedWatches()
  const feed = new WatchFeed({ prefix: '' }, null, source)
  t.teardown(() => feed.stop())
  feed.start()
  source.tell(progress(5), put('a', 6), put('b', 7, true))
  t.same(namesIn(await seen(feed, 'three', ({ changes }) => changes.length === 2)), ['b@7', 'a@6'])
  source.breakOff()
  const lost = await seen(feed, 'lost', ({ state }) => state.kind === 'lost')
  t.match(lost.state, { why: 'the stream broke off' })
  source.tell(put('b', 7, true), put('c', 7), put('d', 8))
  t.same(namesIn(await seen(feed, 'four', ({ revision }) => revision === 8)), ['d@8', 'c@7', 'b@7', 'a@6'])
  t.same(source.opened, [null, 6])
})

t.test('a watch that is paused asks for nothing, and goes on where it stopped', async (t) => {
  const source = new PlayedWatches()
  const feed = new WatchFeed({ key: 'a' }, 3, source)
  t.teardown(() => feed.stop())
  feed.start()
  source.tell(put('a', 4))
  await seen(feed, 'a', ({ revision }) => revision === 4)
  feed.pause()
  t.equal(feed.view.value.state.kind, 'paused')
  source.tell(put('a', 5))
  feed.start()
  t.same(namesIn(await seen(feed, 'both', ({ revision }) => revision === 5)), ['a@5', 'a@4'])
  t.same(source.opened, [3, 4])
  feed.clear()
  t.same(feed.view.value.changes, [])
})

t.test('a watch keeps a bounded list, and of each value the beginning', async (t) => {
  const source = new PlayedWatches()
  const feed = new WatchFeed({ prefix: '' }, null, source)
  t.teardown(() => feed.stop())
  feed.start()
  const large = { ...put('large', 1), value: '😀'.repeat(100_000) }
  const binary = { type: 'put', key: 'binary', valueBase64: 'AAH/', version: 2, revision: 2 } as const
  source.tell(large, binary, { type: 'delete', key: 'gone', revision: 3 })
  const [gone, bytes, text] = (await seen(feed, 'three', ({ revision }) => revision === 3)).changes
  t.match(gone, { type: 'delete', size: null, preview: null, version: null })
  t.match(bytes, { size: 3, preview: null, version: 2 })
  t.match(text, { size: 400_000, preview: '😀'.repeat(bounds.previewCharacters / 2) })
  source.tell(...Array.from({ length: 700 }, (_, at) => put('many', at + 4)))
  const { changes, dropped } = await seen(feed, 'all', ({ revision }) => revision === 703)
  t.equal(changes.length, bounds.watchedChangesMax)
  t.equal(dropped, 703 - bounds.watchedChangesMax)
  t.equal(changes[0]?.revision, 703)
})

function problem(code: 'compacted' | 'shutting-down' | 'too-slow' | 'unauthenticated', status: number): Problem {
  return { status, title: code, detail: code, code, retryable: status !== 410 && status !== 401, ambiguous: false }
}

t.test('a watch ends when the node says that it cannot go on, and can begin anew', async (t) => {
  const source = new PlayedWatches()
  const feed = new WatchFeed({ prefix: '' }, 1, source)
  t.teardown(() => feed.stop())
  source.refusal = new ProblemError(problem('compacted', 410))
  feed.start()
  const ended = await seen(feed, 'ended', ({ state }) => state.kind === 'ended')
  t.ok(ended.state.kind === 'ended' && isCompacted(ended.state))
  source.refusal = null
  feed.startFromNow()
  source.tell(progress(9))
  await seen(feed, 'live', ({ state, revision }) => state.kind === 'live' && revision === 9)
  t.same(source.opened, [1, null])

  source.tell({ type: 'error', problem: problem('too-slow', 408) }, put('a', 10))
  t.same(namesIn(await seen(feed, 'again', ({ revision }) => revision === 10)), ['a@10'], 'what may be tried again is')
  t.same(source.opened, [1, null, 9])

  source.tell({ type: 'error', problem: problem('unauthenticated', 401) })
  const refused = await seen(feed, 'ended again', ({ state }) => state.kind === 'ended')
  t.notOk(isCompacted(refused.state))
  feed.start()
  source.tell(put('a', 11))
  t.same(namesIn(await seen(feed, 'a', ({ revision }) => revision === 11)), ['a@11', 'a@10'], 'it goes on')
  t.same(source.opened, [1, null, 9, 10])
  source.refusal = new UnreadableError('a line is too long')
  source.breakOff()
  t.match((await seen(feed, 'ended', ({ state }) => state.kind === 'ended')).state, { error: { message: /too long/ } })
})

t.test('what cannot be seen in a key is spelled out', async (t) => {
  t.equal(plainText('a b/😀/👨‍👩‍👧/ü'), 'a b/😀/👨‍👩‍👧/ü')
  t.equal(plainText(' a\n\0'), '·a\\n\\0')
  t.equal(plainText('a\u202eb\u200bc\u{feff}'), 'a\\u{202e}b\\u{200b}c\\u{feff}')
  t.equal(plainText('  '), '··')
  t.same(visibleText('a\tb'), [
    { text: 'a', isEscape: false },
    { text: '\\t', isEscape: true },
    { text: 'b', isEscape: false },
  ])
})
