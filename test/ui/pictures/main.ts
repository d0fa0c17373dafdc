import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { patientElections, TestCluster } from '../../e2e/support/cluster.ts'
import { eventually } from '../../e2e/support/eventually.ts'
import type { NodeProcess } from '../../e2e/support/node-process.ts'
import { openBrowser } from '../../support/browser.ts'
import type { Owner } from '../../support/temporary-directory.ts'
import { Dashboard } from '../support/dashboard.ts'

const size = { width: 1120, height: 760 }
/** As much as a chart shows at least. */
const LOAD_MS = 65_000

const hosts = (...names: string[]): object => ({ flags: { beta: true, ratio: 0.25 }, hosts: names })
/** The values that a key of the picture of the history has had. */
const checkouts = [
  { name: 'checkout', replicas: 3, ...hosts('a.example', 'b.example') },
  { name: 'checkout', replicas: 4, ...hosts('a.example', 'b.example') },
  { name: 'checkout', replicas: 5, ...hosts('a.example', 'b.example', 'c.example') },
]
const others = ['app/config', 'app/motd', 'images/logo', 'services/api/1', 'sessions/7', 'users/ada', 'workers/1']

async function put({ client }: NodeProcess, key: string, value: string): Promise<void> {
  const answer = await client.putKey(key, value)
  if (answer.status !== 200) throw new Error(answer.summary)
}

/** Writes and reads through `node`, more of them in the middle. */
async function load(node: NodeProcess): Promise<void> {
  const startedAt = performance.now()
  for (let share = 0; share < 1; share = (performance.now() - startedAt) / LOAD_MS) {
    await put(node, 'app/motd', `${share}`)
    await node.client.getKey('app/motd')
    await delay(60 - 45 * Math.sin(share * Math.PI) ** 4)
  }
}

async function takePictures(owner: Owner, directory: string): Promise<void> {
  const browser = await openBrowser(owner)
  if (browser === null)
    throw new Error('Pictures need Chromium, which is not installed here: apt-get install chromium.')
  const cluster = await TestCluster.formed(owner, { size: 3, flags: patientElections })
  const leader = await cluster.leader()
  for (const value of checkouts) await put(leader, 'app/checkout', JSON.stringify(value))
  for (const key of others) await put(leader, key, key)

  const keep = async (name: string, dashboard: Dashboard): Promise<void> => {
    await writeFile(join(directory, `${name}.png`), await dashboard.picture({ fullPage: false }))
  }
  const charts = await Dashboard.open(owner, browser, leader.addresses.api, { scheme: 'dark', size })
  await charts.goTo('Charts')
  // The link that led here would be drawn with its focus.
  await charts.page.evaluate('document.activeElement.blur()')
  await load(leader)
  await keep('charts', charts)
  await charts.page.context().close()

  const overview = await Dashboard.open(owner, browser, leader.addresses.api, { size })
  await eventually('both round trips are shown', async () => {
    return (await overview.page.getByText(/in step · /).count()) === 2 ? true : null
  })
  await keep('overview', overview)

  const { page } = overview
  await page.goto(`${leader.addresses.api}/ui/#/keys?key=${encodeURIComponent('app/checkout')}&tab=history`)
  await page.getByText('3 lines in').waitFor()
  await keep('history', overview)
}

/** `npm run pictures -- DIRECTORY`: the pictures of the documents, by which they are known in docs/images. */
async function main(directory: string): Promise<void> {
  const handlers: (() => Promise<void>)[] = []
  const owner: Owner = { teardown: (handler) => void handlers.unshift(handler) }
  try {
    await takePictures(owner, directory)
  } finally {
    for (const handler of handlers) await handler()
  }
}

await main(process.argv[2] ?? 'docs/images')
