import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Test } from 'tap'
import { limits } from '../../src/limits.ts'
import { FrameSplitter } from '../../src/transport/frame-splitter.ts'
import { FrameWriter } from '../../src/transport/frame-writer.ts'
import { encodeFrame, type Frame } from '../../src/transport/wire.ts'

export function encodeFrames(...frames: Frame[]): Buffer {
  const writer = new FrameWriter()
  for (const frame of frames) encodeFrame(frame, writer)
  return Buffer.concat(writer.take())
}

/** One end of a connection in the hands of a test: it can say anything. */
export class Stranger {
  readonly socket: Socket
  readonly frames: Frame[] = []
  closed = false

  constructor(socket: Socket) {
    this.socket = socket
    const splitter = new FrameSplitter(limits.frameBytesMax)
    socket.on('error', () => undefined)
    socket.on('close', () => (this.closed = true))
    socket.on('data', (chunk) => {
      splitter.push(chunk)
      for (let frame = splitter.next(); frame !== null; frame = splitter.next()) this.frames.push(frame)
    })
  }

  say(...frames: Frame[]): void {
    this.socket.write(encodeFrames(...frames))
  }
}

/** Connects to a transport. */
export function callAt(t: Test, address: string): Stranger {
  const socket = connect({ host: '127.0.0.1', port: Number(address.split(':')[1]) })
  t.teardown(() => socket.destroy())
  return new Stranger(socket)
}

/** Listens where a transport expects a peer. */
export async function lieAt(
  t: Test,
  onCall: (stranger: Stranger) => void,
): Promise<{ readonly address: string; readonly server: Server }> {
  const server = createServer((socket) => {
    t.teardown(() => socket.destroy())
    onCall(new Stranger(socket))
  })
  t.teardown(() => new Promise((resolve) => server.close(resolve)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}
