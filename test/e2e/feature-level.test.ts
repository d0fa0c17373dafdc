import { cp, readFile, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import t, { type Test } from 'tap'
import { exitCodes } from '../../src/cli/terminal.ts'
import { FEATURE_LEVEL } from '../../src/kv/feature-level.ts'
import { linesWithDoubles } from '../support/log-lines.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { TestCluster } from './support/cluster.ts'
import { eventually } from './support/eventually.ts'
import { builtProgram, type NodeProcess, type ProcessEnd } from './support/node-process.ts'

/* What a node does that meets the log of a cluster whose feature level it does not know. */

const version = '9.9.9'
const level = FEATURE_LEVEL + 1

/** Replaces the only occurrence of `from` in a file. */
async function edit(path: string, from: string, to: string): Promise<void> {
  const parts = (await readFile(path, 'utf8')).split(from)
  if (parts.length !== 2) throw new Error(`${path} has ${parts.length - 1} times ${from}`)
  await writeFile(path, parts.join(to))
}

/** This program as it will be in a later version, which knows one level more. */
async function laterProgram(t: Test): Promise<readonly string[]> {
  const [node = '', main = ''] = builtProgram
  const [built, later] = [dirname(main), await temporaryDirectory(t)]
  const checkout = dirname(built)
  await cp(built, join(later, 'dist'), { recursive: true })
  await cp(join(checkout, 'package.json'), join(later, 'package.json'))
  await symlink(join(checkout, 'node_modules'), join(later, 'node_modules'))
  await edit(join(later, 'dist/kv/feature-level.js'), `FEATURE_LEVEL = ${FEATURE_LEVEL};`, `FEATURE_LEVEL = ${level};`)
  const own = (JSON.parse(await readFile(join(checkout, 'package.json'), 'utf8')) as { readonly version: string })
    .version
  await edit(join(later, 'package.json'), `"version": "${own}"`, `"version": "${version}"`)
  return [node, join(later, 'dist/main.js')]
}

/** The lines of the log with this message. */
function linesOf({ process }: NodeProcess, msg: string): readonly object[] {
  return process.output
    .split('\n')
    .filter((line) => line.includes(`"msg":"${msg}"`))
    .map((line) => JSON.parse(line) as object)
}

function refuses(t: Test, { code, signal, out, err }: ProcessEnd): void {
  t.strictSame({ code, signal }, { code: exitCodes.refused, signal: null }, `${err}\n${out.slice(-2_000)}`)
  const told = `the state has feature level ${level}; this build knows 1 to ${FEATURE_LEVEL}: run the version of the other members`
  t.ok(`${out}${err}`.includes(told), `${out.slice(-2_000)}${err}`)
}

t.test(
  'a node of an older version stops at a log that is above its feature level, and a newer one goes on',
  async (t) => {
    const later = await laterProgram(t)
    const cluster = await TestCluster.formed(t, { size: 1, command: later })
    const first = cluster.node(1)
    t.equal((await first.client.putKey('a', 'before')).status, 200)
    const raised = await eventually('the level is raised', () => {
      return (
        linesOf(first, 'feature level raised').find((line) => 'featureLevel' in line && line.featureLevel === level) ??
        null
      )
    })
    t.match(raised, { level: 30, node: 1 }, 'the names that each line has mean what they mean in others')

    await t.test('it reads the log', async (t) => {
      t.same(linesWithDoubles(first.process.output), [])
      t.equal((await first.stop()).code, 0)
      first.replaceProgram(builtProgram)
      const older = first.launch()
      older.mayEnd = true
      refuses(t, await older.ended)
      first.replaceProgram(later)
      await first.start()
      await cluster.untilReady()
      t.equal((await first.client.getKey('a')).text, 'before', 'nothing is lost')
      t.equal((await first.client.putKey('a', 'after')).status, 200)
    })

    await t.test('it is not taken in', async (t) => {
      const second = await cluster.add()
      second.replaceProgram(builtProgram)
      const idle = second.launch()
      await eventually('it answers', async () => ((await second.client.get('/livez')).status === 200 ? true : null))
      const member = { ...second.addresses, wait: false }
      const refused = await first.client.post('/cluster/learners', member)
      t.match(refused.json(), { status: 409, code: 'member-mismatch' })
      t.match(
        refused.text,
        `which knows feature level ${FEATURE_LEVEL}; this cluster has level ${level}: start that node`,
      )
      t.notOk(idle.hasEnded, 'it goes on without a cluster')
      await second.stop()
      second.replaceProgram(later)
      await second.start()
      const added = await first.client.post('/cluster/learners', member)
      t.equal(added.status, 200, added.text)
      await cluster.untilReady()
      t.equal((await second.client.getKey('a')).text, 'after')
      t.equal(new Set((await cluster.untilEqual()).digests).size, 1)
      t.same(linesWithDoubles(second.process.output), [])
    })
  },
)

t.test('a line with two values under one name is found', async (t) => {
  const fine = '{"level":30,"node":1,"facts":{"level":2},"msg":"m"}'
  const doubled = '{"level":30,"node":1,"level":2,"msg":"m"}'
  t.same(linesWithDoubles(`of a line"}\n${fine}\nready\n${doubled}\n`), [doubled])
})
