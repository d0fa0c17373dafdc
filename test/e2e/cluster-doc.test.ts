import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { ClusterStatus } from '../../src/api/cluster.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { freePorts } from './support/ports.ts'
import { RestClient } from './support/rest-client.ts'

const root = fileURLToPath(new URL('../../', import.meta.url))
const ids = [1, 2, 3, 4, 5, 6, 7, 11, 12, 13]

/** The contents of the blocks that are marked with `language`, in order, each with the line it begins at. */
function blocksOf(text: string, language: string): { readonly line: number; readonly code: string }[] {
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))]
  return blocks.map((match) => ({
    line: text.slice(0, match.index).split('\n').length,
    code: match[1] ?? '',
  }))
}

t.test('docs/CLUSTER.md does what it says', async (t) => {
  const text = await readFile(join(root, 'docs', 'CLUSTER.md'), 'utf8')
  const blocks = blocksOf(text, 'sh')
  t.ok(blocks.length >= 12, `${blocks.length} blocks`)
  t.ok(blocksOf(text, 'mermaid').length >= 5, 'and pictures')

  const directory = await temporaryDirectory(t)
  const program = join(directory, 'quorate')
  await writeFile(program, `#!/bin/sh\nexec "${process.execPath}" "${join(root, 'dist', 'main.js')}" "$@"\n`)
  await chmod(program, 0o700)
  const ports = await freePorts(ids.length * 2)
  const addresses = ids.flatMap((id, at) => [
    [`API${id}`, `127.0.0.1:${ports[2 * at] ?? 0}`],
    [`RAFT${id}`, `127.0.0.1:${ports[2 * at + 1] ?? 0}`],
  ])
  const variables = Object.fromEntries(addresses) as Readonly<Record<string, string>>
  // The shell says where it is, so that a failure names the block; what still runs at the end is waited for.
  const steps = blocks.map(({ line, code }) => `echo "--- line ${line}"\n${code}`)
  const script = ['set -euo pipefail', ...steps, 'echo "--- end"', 'read -r', ''].join('\n')
  const path = join(directory, 'script')
  await writeFile(path, script)
  const shell = spawn('bash', [path], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A group of its own: with the shell every node ends that it has started.
    detached: true,
    env: {
      PATH: `${directory}:${process.env['PATH'] ?? ''}`,
      DATA: directory,
      QUORATE_SEGMENT_BYTES: '1MiB',
      UV_THREADPOOL_SIZE: '4',
      ...variables,
    },
  })
  const closed = once(shell, 'close')
  t.teardown(async () => {
    try {
      if (shell.pid !== undefined) process.kill(-shell.pid, 'SIGKILL')
    } catch (error) {
      // Nobody of the group is left.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
    await closed
  })
  let out = ''
  let err = ''
  shell.stderr.on('data', (chunk) => (err += String(chunk)))
  const reached = new Promise<string>((resolve) => {
    shell.stdout.on('data', (chunk) => {
      out += String(chunk)
      if (out.includes('--- end')) resolve('end')
    })
    void closed.then(([code]) => resolve(`the shell ended with ${String(code)}`))
  })
  t.equal(await reached, 'end', `${out.slice(-2_000)}\n${err.slice(-2_000)}`)

  t.match(
    out,
    /warning: node 2 says that it is at [\s\S]* run `quorate cluster set-addresses 2 --raft/,
    'the move is noticed',
  )
  t.match(out, /formation +\w+: [\s\S]*joining +\w+: /, 'what nodes do by themselves is shown')
  t.match(out, /The membership was not changed\. To do it: quorate recover/, 'the recovery is tried first')
  const statusAt = async (id: number): Promise<ClusterStatus> => {
    const client = new RestClient(`http://${variables[`API${id}`] ?? ''}`)
    const answer = await client.get('/cluster')
    client.close()
    return answer.json<ClusterStatus>()
  }
  const recovered = await statusAt(4)
  t.match(recovered, {
    failureTolerance: 1,
    membership: { effective: { membership: { configs: [[2, 3, 4]], learners: [] } } },
  })
  t.same(recovered.warnings, [], 'all is well at the end')
  t.match(await statusAt(12), {
    failureTolerance: 1,
    membership: { effective: { membership: { configs: [[11, 12, 13]] } } },
  })
})
