import t from 'tap'
import { RecentLines } from '../src/recent-lines.ts'

function textOf(number: number, more: object = {}): string {
  return `${JSON.stringify({ level: 30, time: number, node: 1, ...more, msg: 'something' })}\n`
}

t.test('the last lines are kept, as many as there is room for', async (t) => {
  const bytesMax = 1_000
  const recent = new RecentLines({ bytesMax, lineBytesMax: 500 })
  t.same([recent.lines, recent.forgotten], [[], 0])
  for (let number = 100; number < 400; number++) {
    recent.add(textOf(number))
    const bytes = recent.lines.reduce((sum, line) => sum + Buffer.byteLength(line), 0)
    t.ok(bytes <= bytesMax, `${bytes} bytes`)
    t.equal(recent.lines.length + recent.forgotten, number - 99, 'each line is kept, or counted')
  }
  const lineBytes = Buffer.byteLength(textOf(100)) - 1
  const expected = Array.from({ length: Math.floor(bytesMax / lineBytes) }, (_, at) => 399 - at).reverse()
  t.same(
    recent.lines.map((line) => (JSON.parse(line) as { time: number }).time),
    expected,
  )
})

t.test('bytes count, not characters', async (t) => {
  const recent = new RecentLines({ bytesMax: 1_000, lineBytesMax: 500 })
  for (let number = 0; number < 10; number++) recent.add(textOf(number, { text: '\u20ac'.repeat(100) }))
  t.equal(recent.lines.length, 2)
})

t.test('a long line keeps its message, and does not push out all the others', async (t) => {
  const recent = new RecentLines({ bytesMax: 4_000, lineBytesMax: 500 })
  recent.add(textOf(1))
  const long = textOf(2, { asked: 'x'.repeat(100_000) })
  recent.add(long)
  const [first = '', second = ''] = recent.lines
  t.equal(first, textOf(1).trimEnd())
  t.same(JSON.parse(second), { level: 30, time: 2, node: 1, msg: 'something', lineBytes: long.length - 1 })
  recent.add(`${JSON.stringify({ level: 30, time: 3, node: 1, msg: 'y'.repeat(100_000) })}\n`)
  t.equal(recent.lines.length, 3)
  t.equal((JSON.parse(recent.lines[2] ?? '') as { msg: string }).msg.length, 1_000)
})
