import t from 'tap'
import { limits } from '../src/limits.ts'
import { LogOutput } from '../src/log-output.ts'

/** A file descriptor that takes `room` bytes, then says `code`. */
class FakeDescriptor {
  room = Infinity
  code = 'EAGAIN'
  text = ''

  readonly write = (_fd: number, bytes: Uint8Array): number => {
    const taken = Math.min(this.room, bytes.length)
    if (taken === 0) throw Object.assign(new Error(this.code), { code: this.code })
    this.room -= taken
    this.text += Buffer.from(bytes.subarray(0, taken)).toString()
    return taken
  }

  lines(): string[] {
    return this.text.split('\n').slice(0, -1)
  }
}

function open(descriptor: FakeDescriptor): { output: LogOutput; told: number[] } {
  const told: number[] = []
  const output: LogOutput = new LogOutput(
    { fd: 1 },
    {
      write: descriptor.write,
      onRegained: (dropped) => {
        told.push(dropped)
        output.write(`dropped ${dropped}\n`)
      },
    },
  )
  return { output, told }
}

t.test('a line that cannot be written is dropped and counted, and the next ones are tried again', async (t) => {
  for (const code of ['ENOSPC', 'EIO', 'EPIPE', 'EBADF']) {
    const descriptor = new FakeDescriptor()
    descriptor.code = code
    const { output, told } = open(descriptor)
    output.write('one\n')
    descriptor.room = 0
    output.write('two\n')
    output.write('three\n')
    t.equal(output.dropped, 2, code)
    t.same(told, [], 'nothing is told while nothing can be written')
    descriptor.room = Infinity
    output.write('four\n')
    t.same(descriptor.lines(), ['one', 'four', 'dropped 2'])
    t.equal(output.dropped, 2)
  }
})

t.test('a line that was written in part does not run into the next one', async (t) => {
  const descriptor = new FakeDescriptor()
  descriptor.code = 'ENOSPC'
  const { output } = open(descriptor)
  descriptor.room = 2
  output.write('first\n')
  output.write('second\n')
  descriptor.room = Infinity
  output.write('third\n')
  t.same(descriptor.lines(), ['fi', 'third', 'dropped 2'])
})

t.test('lines wait for the reader of a full pipe, in their order, within a bound', async (t) => {
  const descriptor = new FakeDescriptor()
  const { output, told } = open(descriptor)
  descriptor.room = 3
  for (let i = 0; i < 5; i++) output.write(`line ${i}\n`)
  t.equal(output.dropped, 0)
  descriptor.room = Infinity
  output.flush()
  t.same(descriptor.lines(), ['line 0', 'line 1', 'line 2', 'line 3', 'line 4'])

  descriptor.room = 0
  const long = `${'x'.repeat(limits.logWaitingBytesMax / 4)}\n`
  for (let i = 0; i < 1000; i++) output.write(long)
  t.equal(output.dropped, 997, 'beyond the bound they are dropped')
  descriptor.room = Infinity
  const deadline = performance.now() + 10_000
  while (told.length === 0 && performance.now() < deadline) await new Promise((resolve) => setImmediate(resolve))
  t.same(told, [997], 'it goes on by itself once there is room')
  t.equal(descriptor.lines().length, 9)
})

t.test('a reader that takes nothing holds the end of the process up for a bounded time', async (t) => {
  const descriptor = new FakeDescriptor()
  let nowMs = 1_000
  const pause = (ms: number): void => void (nowMs += ms)
  const output = new LogOutput({ fd: 1 }, { write: descriptor.write, now: () => nowMs, pause })
  descriptor.room = 0
  output.write('last\n')
  output.flush()
  t.equal(nowMs - 1_000, limits.logFlushMsMax)
  t.equal(descriptor.text, '')
})
