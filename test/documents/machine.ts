import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { networkOfItsOwn, runSession } from '../e2e/support/document.ts'
import { root } from '../support/deploy-files.ts'
import { missing, type Reporter } from '../support/missing.ts'
import { temporaryDirectory, type Owner } from '../support/temporary-directory.ts'

export const OPERATIONS = 'docs/OPERATIONS.md'

/** Programs that stand in for those of a machine, by the names of files beside this one. */
export type StandIn = 'docker' | 'systemctl'

/** What a shell prints, and where its files are. */
export interface Session {
  readonly printed: string
  readonly directory: string
}

interface Step {
  readonly standIns: readonly StandIn[]
  /** Lines before those of the documents. `$D` is a directory that is there after the run. */
  readonly before?: string
  /** Lines of the documents and those that look at what they have done. */
  readonly lines: readonly string[]
}

/** The part of tap's `t` that is needed to report how the lines end. */
interface Test extends Owner, Reporter {
  equal(found: unknown, expected: unknown, what: string): unknown
}

/**
 * Runs lines in a shell, to a good end, on a machine that has the addresses 10.0.0.1 to 10.0.0.3, and the names quorate-1 to quorate-3 for
 * others of its loopback interface, in a network of its own. Null: such a network cannot be made here, which `t` has been told.
 */
export async function onMachine(t: Test, { standIns, before = '', lines }: Step): Promise<Session | null> {
  const network = networkOfItsOwn(t)
  if (network === null) return null
  const [program, ...words] = network
  const probe = spawnSync(program, [...words, 'unshare', '--mount', 'mount', '--bind', '/etc', '/etc'], {
    encoding: 'utf8',
  })
  if (probe.status !== 0) {
    missing(t, 'mounts', `nothing is pasted, for this machine allows none: ${probe.stderr.trim()}`)
    return null
  }
  const directory = await temporaryDirectory(t)
  const bin = join(directory, 'bin')
  await mkdir(bin)
  await mkdir(join(directory, 'place'))
  for (const name of standIns) {
    const program = `#!/bin/sh\nexec '${process.execPath}' '${join(root, 'test/documents/stand-ins', name)}.mjs' "$@"\n`
    await writeFile(join(bin, name), program, { mode: 0o755 })
  }
  const hosts = ['127.0.0.1 localhost', ...[1, 2, 3].map((id) => `127.0.1.${id} quorate-${id}`)]
  await writeFile(join(directory, 'hosts'), `${hosts.join('\n')}\n`)
  await writeFile(
    join(directory, 'inner'),
    [
      'set -euo pipefail',
      'exec 2>&1',
      `mount --bind '${directory}/hosts' /etc/hosts`,
      'for n in 1 2 3; do ip address add 10.0.0.$n/32 dev lo; done',
      `D='${directory}/place'`,
      `export QUORATE_DOCKER='${directory}/place' QUORATE_ROOT='${root}' QUORATE_CLUSTER_FORMATION_DELAY=1s`,
      before,
      ...lines,
      "printf '\\n--- end\\n'",
      '',
    ].join('\n'),
  )
  const script = `exec unshare --mount bash '${directory}/inner'\n`
  const { code, printed } = await runSession(t, network, { script, directory })
  t.equal(code, 0, printed.slice(-3_000))
  return { printed, directory: join(directory, 'place') }
}
