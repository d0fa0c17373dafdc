import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, open, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { missing, type Reporter } from '../../support/missing.ts'
import { temporaryDirectory, type Owner } from '../../support/temporary-directory.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** The languages of all blocks in the documents. */
const languages = ['sh', 'console', 'ts', 'json', 'http', 'yaml', 'ini', 'mermaid']
/** Things that a block may need and that a test machine lacks. Such a block says so: "```sh needs=registry". */
const lacking = ['registry', 'machines', 'docker', 'kubernetes', 'systemd']

/** A page that waits in vain is ended after this time. */
const sessionMsMax = 560_000

export interface Block {
  readonly line: number
  readonly language: string
  /** Null: nothing that a test machine lacks. */
  readonly needs: string | null
  readonly code: string
}

/** The code of all blocks of a page in one language, in their order. */
export async function codeIn(name: string, language: string): Promise<string> {
  const blocks = blocksOf(await readFile(join(root, name), 'utf8')).filter((block) => block.language === language)
  return blocks.map(({ code }) => code).join('\n')
}

/** The lines that Markdown takes for code because of their indentation. */
function indentedCode(text: string): readonly string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```$/gm, '')
  return prose.match(/^(?: {4}|\t).*\S.*$/gm) ?? []
}

/** The blocks of a text of Markdown, in their order. */
export function blocksOf(text: string): readonly Block[] {
  const found = text.matchAll(/^```(\S*)(?: needs=(\S+))?\n([\s\S]*?)^```$/gm)
  return [...found].map(({ index, 1: language = '', 2: needs = null, 3: code = '' }) => {
    return { line: text.slice(0, index).split('\n').length, language, needs, code }
  })
}

type Words = readonly [string, ...string[]]

/** A network namespace with only a loopback interface, in which the ports of the documents are free. Null: `t` is told what is missing. */
export function networkOfItsOwn(t: Reporter): Words | null {
  const lacking = ['ip', 'unshare'].filter((program) => spawnSync(program, ['-V']).error !== undefined)
  if (lacking.length > 0) {
    missing(t, 'ip and unshare', `nothing is pasted, for ${lacking.join(' and ')} cannot be run here`)
    return null
  }
  const words = ['unshare', '--map-root-user', '--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh'] as const
  const [program, ...rest] = words
  const { status, stderr } = spawnSync(program, [...rest, 'true'], { encoding: 'utf8' })
  if (status === 0) return words
  missing(t, 'a network namespace', `nothing is pasted, for this machine allows none: ${stderr.trim()}`)
  return null
}

/**
 * Runs `script` in its own bash, at the root of the project. What lies in `bin` of `directory` is found first. Everything that it starts
 * ends with the test at the latest. `printed` is both outputs, where the script joins them (`exec 2>&1`).
 */
export async function runSession(
  owner: Owner,
  network: Words,
  { script, directory }: { readonly script: string; readonly directory: string },
): Promise<{ readonly code: unknown; readonly printed: string }> {
  const temporary = join(directory, 'tmp')
  const path = join(directory, 'bin')
  await Promise.all([mkdir(temporary), mkdir(path, { recursive: true }), writeFile(join(directory, 'script'), script)])
  await symlink(join(root, 'dist', 'quorate.cjs'), join(path, 'quorate'))
  // A file, since nodes that share a pipe with a command make it one that does not wait for its reader: what is full then is an error.
  const output = await open(join(directory, 'printed'), 'a')
  const [program, ...words] = network
  const guarded = [
    'sh',
    '-c',
    '(read -r _ <&3; kill -9 0) & exec 3<&-; exec bash "$1"',
    'sh',
    join(directory, 'script'),
  ]
  const shell = spawn(program, [...words, ...guarded], {
    cwd: root,
    // The last pipe ends the group when the test is killed before it can clean up.
    stdio: ['ignore', output.fd, 'inherit', 'pipe'],
    // A process group of its own: everything that the shell has started ends with it.
    detached: true,
    env: {
      PATH: `${path}:${process.env['PATH'] ?? ''}`,
      HOME: temporary,
      TMPDIR: temporary,
      QUORATE_SEGMENT_BYTES: '1MiB',
      // Long timeouts keep a busy machine from holding an election in the middle of a page.
      QUORATE_HEARTBEAT: '100ms',
      QUORATE_ELECTION_TIMEOUT: '1s-2s',
      UV_THREADPOOL_SIZE: '4',
    },
  })
  const closed = once(shell, 'close')
  const end = (): void => endGroup(shell.pid)
  owner.teardown(async () => {
    end()
    await closed
  })
  const late = setTimeout(end, sessionMsMax)
  const [code] = (await once(shell, 'exit')) as readonly unknown[]
  clearTimeout(late)
  // A page that stopped early has left its nodes running.
  end()
  await closed
  await output.close()
  return { code, printed: await readFile(join(directory, 'printed'), 'utf8') }
}

function endGroup(leader: number | undefined): void {
  try {
    if (leader !== undefined) process.kill(-leader, 'SIGKILL')
  } catch (error) {
    // No process of the group is left.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}

/** The blocks unchanged, each after a line that tells its place; at the end, the sockets that still listen. */
function scriptOf(blocks: readonly Block[]): string {
  const steps = blocks.map(({ line, code }) => `printf '\\n--- line ${line}\\n'\n${code}`)
  const listening = `printf '\\n--- end\\n'; awk '$4 == "0A"' /proc/net/tcp`
  return ['set -euo pipefail', 'exec 2>&1', ...steps, listening, ''].join('\n')
}

/** The output of each block, by the block's line number. */
function outputsOf(printed: string): ReadonlyMap<string, string> {
  const parts = printed.split(/^--- (.+)$/m).slice(1)
  const outputs = new Map<string, string>()
  for (let at = 0; at + 1 < parts.length; at += 2) outputs.set(parts[at] ?? '', parts[at + 1] ?? '')
  return outputs
}

/** Where the block begins that was the last to run. */
function lastLineIn(printed: string): string {
  return [...printed.matchAll(/^--- line (\d+)$/gm)].at(-1)?.[1] ?? '1'
}

/** The lines that a document shows must occur in the output, in their order. Numbers may differ; `...` stands for anything. */
function firstMissing(shown: string, printed: string): string | null {
  let rest = printed
  for (const line of shown.split('\n').filter((one) => one !== '')) {
    const parts = line.split(/(\.{3}|\d+)/).map((part) => {
      if (part === '...') return '.*?'
      return /^\d+$/.test(part) ? '\\d+' : part.replace(/[^\w ]/g, '\\$&')
    })
    const found = new RegExp(parts.join('')).exec(rest)
    if (found === null) return line
    rest = rest.slice(found.index + found[0].length)
  }
  return null
}

/** The part of tap's `t` that is needed to report checks. */
interface Test extends Owner, Reporter {
  ok(holds: boolean, what: string): unknown
  equal(found: unknown, expected: unknown, what: string): unknown
  same(found: unknown, expected: unknown, what: string): unknown
  match(found: string, expected: RegExp, what: string): unknown
  comment(text: string): unknown
}

/** Runs the blocks of the page `name` in one session, in order. Their output must match `expected`. */
export async function follow(t: Test, name: string, expected: readonly RegExp[]): Promise<void> {
  const text = await readFile(join(root, name), 'utf8')
  t.ok(!/^[ \t]+```/m.test(text), `${name} has no block that is indented, and so overlooked`)
  t.same(indentedCode(text), [], `${name} has no code without a fence, which is overlooked as well`)
  t.ok(!text.includes('$TMPDIR'), `${name} makes its directories itself: most machines set no TMPDIR`)
  const all = blocksOf(text)
  for (const { line, language, needs } of all) {
    t.ok(languages.includes(language), `${name}:${line} says what it is: ${language}`)
    if (needs === null) continue
    t.ok(language === 'sh' && lacking.includes(needs), `${name}:${line} needs ${needs}`)
    t.comment(`left out: ${name}:${line}, which needs ${needs}`)
  }
  const pasted = all.filter(isPasted)
  if (pasted.length === 0) return
  const network = networkOfItsOwn(t)
  if (network === null) return
  const directory = await temporaryDirectory(t)
  const { code, printed } = await runSession(t, network, { script: scriptOf(pasted), directory })
  t.equal(code, 0, `${name}:${lastLineIn(printed)} ends well: ${printed.slice(-3_000)}`)
  const outputs = outputsOf(printed)
  t.equal(outputs.get('end')?.trim(), '', `behind ${name} nobody listens any more`)
  t.same(await readdir(join(directory, 'tmp')), [], `${name} leaves nothing behind`)
  for (const pattern of expected) t.match(printed, pattern, `${name} prints what is expected`)
  for (const [at, { line, language, code: shown }] of all.entries()) {
    if (language !== 'console') continue
    const before = all[at - 1]
    t.ok(before !== undefined && isPasted(before), `${name}:${line} is printed by the block before it`)
    const output = outputs.get(`line ${before?.line}`) ?? ''
    t.equal(firstMissing(shown, output), null, `${name}:${line} is in:\n${output}`)
  }
}

function isPasted({ language, needs }: Block): boolean {
  return language === 'sh' && needs === null
}
