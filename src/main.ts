import { once } from 'node:events'
import { runProgram } from './cli/program.ts'
import type { Terminal } from './cli/terminal.ts'

const terminal: Terminal = {
  environment: process.env,
  interactive: process.stdout.isTTY,
  print: (text) => void process.stdout.write(text),
  printError: (text) => void process.stderr.write(text),
  readInput: async () => {
    const chunks: Buffer[] = []
    for await (const chunk of process.stdin) chunks.push(Buffer.from(chunk as Uint8Array))
    return Buffer.concat(chunks)
  },
  untilInterrupted: async () => {
    await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
  },
}

// `quorate kv ls | head`: the reader has seen enough, which is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})

process.exitCode = await runProgram(process.argv.slice(2), terminal)
