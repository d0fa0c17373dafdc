import { randomBytes } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { charts } from '../../src/ui/cluster/chart-history.ts'
import { patientElections, TestCluster } from '../e2e/support/cluster.ts'
import { eventually } from '../e2e/support/eventually.ts'
import type { NodeProcess } from '../e2e/support/node-process.ts'
import { freePorts } from '../e2e/support/ports.ts'
import { openBrowser, withoutBrowser } from '../support/browser.ts'
import { runCli } from '../support/run-cli.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { barriersOf } from './support/axe.ts'
import { Dashboard, picturesMissing, untilClosed } from './support/dashboard.ts'
import { statusOf } from './support/status.ts'

// One browser and one cluster for the whole file: their start is most of what it costs.
const browser = await openBrowser(t)
const cluster = await TestCluster.formed(t, { size: 3, flags: patientElections })

/** The dashboard of a node, which has shown the cluster. Null where there is no browser: the test is skipped then. */
async function openOn(t: Test, id: number, options = {}): Promise<Dashboard | null> {
  if (browser === null) {
    withoutBrowser(t)
    return null
  }
  const dashboard = await Dashboard.open(t, browser, cluster.node(id).addresses.api, options)
  await dashboard.page.locator('.identity', { hasText: `node ${id},` }).waitFor()
  return dashboard
}

async function leaderId(): Promise<number> {
  return (await cluster.leader()).id
}

/** The row of a member in the table. */
function rowOf({ page }: Dashboard, id: number): Locator {
  return page
    .locator('.table tbody tr')
    .filter({ has: page.locator('.node-name', { hasText: new RegExp(`^${id}\\b`) }) })
}

/** Opens the question about an action, types what it asks for, and confirms. */
async function confirm({ page }: Dashboard, button: string, word: string | null, action: string): Promise<void> {
  await page.getByRole('button', { name: button, exact: true }).press('Enter')
  const dialog = page.getByRole('dialog')
  if (word !== null) await dialog.getByLabel(/^Type /).fill(word)
  await dialog.getByRole('button', { name: action, exact: true }).press('Enter')
}

t.test('every page is readable in dark and light, and fits a telephone', async (t) => {
  const id = await leaderId()
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  for (const name of ['Overview', 'Charts', 'Members']) {
    await dashboard.goTo(name)
    if (name === 'Charts') await dashboard.page.locator('.legend strong', { hasText: 'MiB' }).first().waitFor()
    t.same(await dashboard.look(name.toLowerCase()), [])
  }
  t.same(dashboard.strays, [], 'nobody but the node was asked')
  t.same(dashboard.complaints, [])
  t.equal(dashboard.inProgressMax, 1, 'one request at a time')
})

t.test('every line of every chart has a number when there are writes and reads', async (t) => {
  const id = await leaderId()
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  await dashboard.goTo('Charts')
  const { client } = cluster.node(id)
  const lines = charts.flatMap(({ title, series }) => series.map(({ name }) => `${title}: ${name}`))
  await eventually('every line has a number', async () => {
    t.equal((await client.putKey('charted', 'x')).status, 200)
    t.equal((await client.getKey('charted')).text, 'x')
    const numbers = await dashboard.page.locator('.chart .legend strong').allInnerTexts()
    const without = lines.filter((_, at) => !/\d/.test(numbers[at] ?? ''))
    if (without.length === 0 && numbers.length === lines.length) return true
    throw new Error(`${numbers.length} of ${lines.length} lines; no number: ${without.join(', ')}`)
  })
})

t.test('the overview tells who leads and how far the others are', async (t) => {
  const id = await leaderId()
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  const { page } = dashboard
  t.match(await rowOf(dashboard, id).innerText(), /this page\s+leader/)
  const others = cluster.others(id).map((node) => node.id)
  for (const other of others) t.match(await rowOf(dashboard, other).innerText(), /follower\s+connected\s+in step/)
  t.match(
    await page.locator('.topology svg').getAttribute('aria-label'),
    `3 members, 3 of them voters: node ${id} leads, all are connected.`,
  )
  t.equal(await page.locator('.topology .link.up').count(), 2)
  t.match(await page.locator('.vitals').innerText(), /May fail\s+1 voter/)

  const follower = await openOn(t, others[0] ?? 0)
  t.match(await follower?.page.getByText('The leader knows').innerText(), `the dashboard of node ${id}`)
})

t.test('the theme is chosen with a switch, and stays chosen', async (t) => {
  const dashboard = await openOn(t, 1)
  if (dashboard === null) return
  const { page } = dashboard
  const ground = async (): Promise<unknown> =>
    await page.evaluate('getComputedStyle(document.documentElement).backgroundColor')
  const light = await ground()
  await page.getByRole('button', { name: 'Dark' }).press('Enter')
  t.not(await ground(), light)
  await page.reload()
  t.not(await ground(), light)
  await page.getByRole('button', { name: 'Light' }).press('Enter')
  t.equal(await ground(), light)
})

t.test('the keyboard reaches everything, a dialog keeps the focus and gives it back', async (t) => {
  const dashboard = await openOn(t, 1)
  if (dashboard === null) return
  const { page } = dashboard
  const focused = async (): Promise<unknown> => await page.evaluate('document.activeElement.textContent.trim()')
  await page.keyboard.press('Tab')
  t.equal(await focused(), 'Skip to the content')
  await page.keyboard.press('Enter')
  t.equal(await page.evaluate('document.activeElement.id'), 'main')
  await dashboard.goTo('Members')
  const button = page.getByRole('button', { name: 'Add a learner' })
  await button.focus()
  t.not(
    await button.evaluate((element) =>
      String(Reflect.get(Reflect.get(globalThis, 'getComputedStyle')(element), 'outlineStyle')),
    ),
    'none',
  )
  await page.keyboard.press('Enter')
  const dialog = page.getByRole('dialog', { name: 'Add a learner' })
  await dialog.waitFor()
  t.equal(await page.evaluate('document.activeElement.tagName'), 'INPUT')
  for (let count = 0; count < 12; count++) {
    await page.keyboard.press('Tab')
    // Between the last control and the first, the focus is on the browser itself.
    t.ok(
      await page.evaluate(
        "document.activeElement === document.body || document.activeElement.closest('dialog') !== null",
      ),
    )
  }
  await page.keyboard.press('Escape')
  await dialog.waitFor({ state: 'detached' })
  t.equal(await focused(), 'Add a learner')
  await page.keyboard.press('Enter')
  await dialog.waitFor()
  const pressAt = async (x: string): Promise<unknown> =>
    await page.evaluate(`{
      const dialog = document.querySelector('dialog')
      const { left, top } = dialog.getBoundingClientRect()
      dialog.dispatchEvent(new MouseEvent('mousedown', { clientX: ${x}, clientY: top + 2, bubbles: true }))
    }`)
  await pressAt('left + 2')
  t.ok(await dialog.isVisible(), 'its own edge and scroll bar do not close it')
  await pressAt('left - 2')
  await dialog.waitFor({ state: 'detached' })
})

/** The dashboard of a node that is no member any more. */
async function removedDashboard(t: Test, { addresses }: NodeProcess): Promise<{ page: Page; found: string[] }> {
  if (browser === null) throw new Error('there is no browser')
  const dashboard = await Dashboard.open(t, browser, addresses.api)
  await dashboard.page.getByText('Node 4 has been removed').waitFor()
  const found = await dashboard.look('removed')
  t.equal(await dashboard.page.locator('.identity .dot.good').count(), 0, 'it serves nobody')
  await dashboard.goTo('Members')
  await dashboard.page.getByText('It changes no members any more').waitFor()
  t.equal(await dashboard.page.getByRole('button', { name: /^(Add|Remove|Move|Let it lead)/ }).count(), 0)
  return {
    page: dashboard.page,
    found: [...found, ...(await dashboard.look('removed-members')), ...dashboard.complaints],
  }
}

t.test('a node is added, promoted, made a learner again, and removed', async (t) => {
  const id = await leaderId()
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  const { page } = dashboard
  const node = await cluster.add()
  await node.start()
  await dashboard.goTo('Members')

  await page.getByRole('button', { name: 'Add a learner' }).press('Enter')
  const dialog = page.getByRole('dialog')
  const add = dialog.getByRole('button', { name: /^Add / })
  await dialog.getByLabel('Node id').fill('1')
  await dialog.getByLabel('Address for its peers').fill('http://host')
  await dialog.getByLabel('Address for clients').fill('host')
  for (const mistake of [
    'Node 1 is a member already.',
    'HOST:PORT, without http://.',
    'It begins with http:// or https://.',
  ]) {
    await dialog.getByText(mistake).waitFor()
  }
  t.ok(await add.isDisabled())
  t.same(await dashboard.blemishes(), [])
  await dialog.getByLabel('Node id').fill('4')
  await dialog.getByLabel('Address for its peers').fill(node.addresses.raft)
  await dialog.getByLabel('Address for clients').fill(node.addresses.api)
  await dialog.getByText('Node 4 is sent everything').waitFor()
  await dashboard.shoot('add-learner')
  await add.press('Enter')
  await untilClosed(dashboard)
  await rowOf(dashboard, 4).getByText('in step').waitFor()
  t.match(await rowOf(dashboard, 4).innerText(), /learner/)
  await dashboard.goTo('Overview')
  await page.getByText('Node 4 has caught up').waitFor()
  t.match(await page.locator('.log').innerText(), /Node 4 joined as learner/)

  await dashboard.goTo('Members')
  await page.getByRole('button', { name: 'Promote node 4' }).press('Enter')
  const promote = dialog.getByRole('button', { name: 'Promote node 4' })
  await dialog.getByLabel(/^Type the id of the node/).fill('3')
  t.ok(await promote.isDisabled(), 'the id of another node confirms nothing')
  t.match(await dialog.innerText(), /from 1, 2 and 3 to 1, 2, 3 and 4/)
  await dashboard.shoot('promote')
  await dialog.getByLabel(/^Type the id of the node/).fill('4')
  await promote.press('Enter')
  await untilClosed(dashboard)
  await rowOf(dashboard, 4).getByText('follower').waitFor()
  t.same((await cluster.status(id)).membership?.effective.membership.configs, [[1, 2, 3, 4]])

  await page.getByRole('button', { name: 'Remove node 4' }).press('Enter')
  await dialog.getByLabel('Keep it as a learner').press('Space')
  await dialog.getByLabel(/^Type /).fill('4')
  await dialog.getByRole('button', { name: 'Make node 4 a learner' }).press('Enter')
  await untilClosed(dashboard)
  await rowOf(dashboard, 4).getByText('learner', { exact: true }).waitFor()

  await confirm(dashboard, 'Remove node 4', '4', 'Remove node 4')
  await untilClosed(dashboard)
  await rowOf(dashboard, 4).waitFor({ state: 'detached' })
  t.match((await cluster.status(id)).membership?.effective.membership, { configs: [[1, 2, 3]], learners: [] })
  const { page: left, ...rest } = await removedDashboard(t, node)
  t.same(rest.found, [])
  await left.goto(`${node.addresses.api}/ui/#/keys`)
  await left.getByText('removed', { exact: true }).first().waitFor()
  await node.stop()
  t.same(dashboard.complaints, [])
})

t.test('a member is listed at other addresses, and where it lives again', async (t) => {
  const id = await leaderId()
  const { id: other, addresses } = cluster.others(id, 4)[0] ?? cluster.node(id)
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  const { page } = dashboard
  const dialog = page.getByRole('dialog')
  const action = `Change the addresses of node ${other}`
  const move = async (raft: string, api: string): Promise<void> => {
    await page.getByRole('button', { name: `Move node ${other}`, exact: true }).press('Enter')
    await dialog.getByLabel('Address for its peers').fill(raft)
    await dialog.getByLabel('Address for clients').fill(api)
    await dialog.getByLabel(/^Type /).fill(String(other))
  }
  await dashboard.goTo('Members')
  const submit = dialog.getByRole('button', { name: action })
  await move(cluster.node(id).addresses.raft, addresses.api)
  await dialog.getByText(`Node ${id} is there.`).waitFor()
  t.ok(await submit.isDisabled(), 'an address of another member')
  await dialog.getByLabel('Address for its peers').fill(addresses.raft)
  t.ok(await submit.isDisabled(), 'nothing would change')
  await page.keyboard.press('Escape')
  await untilClosed(dashboard)

  const [raftPort, apiPort] = await freePorts(2)
  await page.getByRole('button', { name: `Remove node ${other}` }).press('Enter')
  await dialog.getByLabel(/^Type /).fill(String(other))
  const remove = dialog.getByRole('button', { name: `Remove node ${other}` })
  t.ok(await remove.isEnabled())
  for (const api of [`http://127.0.0.1:${apiPort}`, addresses.api]) {
    const answer = await cluster
      .node(id)
      .client.request('PUT', `/cluster/nodes/${other}`, { body: { raft: addresses.raft, api } })
    t.equal(answer.status, 200, answer.summary)
  }
  await dialog.getByText('Somebody has changed the members.').waitFor()
  t.ok(await remove.isDisabled(), 'it was asked of other members')
  await page.keyboard.press('Escape')
  await untilClosed(dashboard)
  await move(`127.0.0.1:${raftPort}`, `http://127.0.0.1:${apiPort}`)
  t.match(await dialog.innerText(), `at 127.0.0.1:${raftPort} instead of ${addresses.raft}`)
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('move')
  await submit.press('Enter')
  await untilClosed(dashboard)
  await rowOf(dashboard, other).getByText(`http://127.0.0.1:${apiPort}`).waitFor()
  await rowOf(dashboard, other).getByText('connected', { exact: true }).waitFor()
  await move(addresses.raft, addresses.api)
  await submit.press('Enter')
  await untilClosed(dashboard)
  t.match((await cluster.status(id)).membership?.effective.membership.nodes[other], {
    raft: addresses.raft,
    api: addresses.api,
  })
  t.same(dashboard.complaints, [])
})

t.test('leadership is handed over, and back', async (t) => {
  const id = await leaderId()
  const dashboard = await openOn(t, id)
  if (dashboard === null) return
  const other = cluster.others(id, 4)[0]?.id ?? 0
  await dashboard.goTo('Members')
  await confirm(dashboard, `Let it lead: node ${other}`, String(other), `Hand over to node ${other}`)
  await untilClosed(dashboard)
  await rowOf(dashboard, other).getByText('leader').waitFor()
  await dashboard.goTo('Overview')
  await dashboard.page.locator('.log').getByText(`Node ${other} leads in term`).waitFor()
  await dashboard.goTo('Members')
  await confirm(dashboard, `Let it lead: node ${id}`, String(id), `Hand over to node ${id}`)
  await untilClosed(dashboard)
  await rowOf(dashboard, id).getByText('leader').waitFor()
})

t.test('the log is freed, and a backup is whole', async (t) => {
  const id = await leaderId()
  const self = cluster.others(id, 4)[0]?.id ?? 0
  const dashboard = await openOn(t, self)
  if (dashboard === null) return
  const { page } = dashboard
  await cluster.node(self).client.putKey('kept', 'in the backup')
  await dashboard.goTo('Members')
  await confirm(dashboard, 'Free its log', String(self), 'Free the log')
  await untilClosed(dashboard)

  const file = `${await temporaryDirectory(t)}/dashboard.backup`
  const download = page.waitForEvent('download')
  await confirm(dashboard, 'Download a backup', null, 'Download the backup')
  await (await download).saveAs(file)
  t.match((await download).suggestedFilename(), /^quorate-\d+\.backup$/)
  await untilClosed(dashboard)
  const verified = await runCli(['backup', 'verify', file])
  t.equal(verified.code, 0, verified.err)
  t.same(dashboard.strays, [])
  t.same(dashboard.complaints, [])
})

t.test('what the node refuses is told in its own words, and the dialog stays', async (t) => {
  const id = await leaderId()
  const self = cluster.others(id, 4)[0]?.id ?? 0
  const dashboard = await openOn(t, self)
  if (dashboard === null) return
  const { page } = dashboard
  const { term } = await cluster.status(id)
  await dashboard.goTo('Members')
  await confirm(dashboard, 'Stand for election', String(self), 'Stand for election')
  const dialog = page.getByRole('dialog')
  const alert = dialog.getByRole('alert')
  t.match(await alert.innerText(), /no-transfer-target\s+This node cannot campaign: a leader is heard\./)
  t.match(await dialog.innerText(), `While node ${id} is heard, this is refused`)
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('refused')

  await page.route('**/cluster/elections', async (route) => await route.abort())
  await dialog.getByRole('button', { name: 'Stand for election' }).press('Enter')
  await alert.getByText('Whether the change has taken effect is not known').waitFor()
  await page.keyboard.press('Escape')
  await untilClosed(dashboard)
  t.equal((await cluster.status(id)).term, term, 'nothing has changed')

  await page.route('**/metrics', async (route) => await route.abort())
  await dashboard.goTo('Charts')
  const notice = page.getByRole('alert').filter({ hasText: 'The node does not answer.' })
  await notice.waitFor()
  t.notMatch(await notice.innerText(), /change/, 'a reading changes nothing')
})

t.test('a token is asked for when the node wants one, and requests go on with it', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const dashboard = await Dashboard.open(t, browser, cluster.node(1).addresses.api)
  const { page } = dashboard
  const given: (string | undefined)[] = []
  let right = 'right'
  await page.route(/\/(cluster|metrics|watch\?.*)$/, async (route) => {
    const authorization = route.request().headers()['authorization']
    given.push(authorization)
    if (authorization === `Bearer ${right}`) return await route.continue()
    const detail = authorization === undefined ? 'this needs a token' : 'the token is not known'
    const problem = {
      title: 'Unauthenticated',
      status: 401,
      detail,
      code: 'unauthenticated',
      retryable: false,
      ambiguous: false,
    }
    await route.fulfill({ status: 401, contentType: 'application/problem+json', json: problem })
  })
  await page.reload()
  await page.getByRole('heading', { name: 'A token, please' }).waitFor()
  await page.getByText('This needs a token.').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('token')
  await page.getByLabel('Token').fill('wrong')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Another token, please' }).waitFor()
  await page.getByLabel('Token').fill('right')
  await page.keyboard.press('Enter')
  await page.getByRole('heading', { name: 'Another token, please' }).waitFor({ state: 'detached' })
  await page.locator('.identity', { hasText: 'node 1,' }).waitFor()
  await page.reload()
  await page.locator('.identity', { hasText: 'node 1,' }).waitFor()
  t.equal(await page.getByLabel('Token').count(), 0, 'it is kept for the tab')
  t.ok(given.includes('Bearer wrong') && given.includes('Bearer right'))
  t.same(await page.evaluate('Object.keys(sessionStorage)'), ['quorate-token /'])

  right = 'newer'
  const banner = page.locator('.gone', { hasText: 'Node 1 asks for a token. What you see is from' })
  await banner.waitFor()
  await page.locator('.identity', { hasText: 'node 1, needs a token' }).waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('token-ended')
  await page.getByLabel('Token').fill('newer”')
  await page.getByText('this has a character U+201D').waitFor()
  await page.getByLabel('Token').fill('newer')
  await page.keyboard.press('Enter')
  await banner.waitFor({ state: 'detached' })
  await page.locator('.log').getByText('Node 1 asks this page for a token.').waitFor()

  await dashboard.goTo('Watch')
  await page.getByRole('button', { name: 'Watch', exact: true }).press('Enter')
  await page.getByText('Live.').waitFor()
  await cluster.node(1).client.putKey('told', 'to the old token')
  await page.getByText('to the old token').waitFor()
  await page.getByRole('button', { name: 'Forget the token' }).press('Enter')
  await page.getByRole('heading', { name: 'A token, please' }).waitFor()
  t.equal(await page.getByText('to the old token').count(), 0, 'what it has opened is gone with it')
  t.equal(await page.getByText('Live.').count(), 0)
  t.equal(await page.evaluate('sessionStorage.length'), 0)
  t.same(dashboard.strays, [])
})

t.test('a page that cannot take what a newer node says fails alone, and offers to be loaded again', async (t) => {
  const dashboard = await openOn(t, 1)
  if (dashboard === null) return
  const { page } = dashboard
  let changed: object = { node: { ...(await cluster.status(1)).node, version: '9.9.9' } }
  await page.route('**/cluster', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...((await response.json()) as object), ...changed } })
  })
  await page.getByText('Node 1 runs version 9.9.9 by now').waitFor()
  t.same(await dashboard.look('other-version'), [])
  changed = { warnings: null }
  await page.getByText('The page failed').waitFor()
  t.same(await dashboard.look('failed-page'), [])
  await page.locator('.log').waitFor({ state: 'detached' })
  await dashboard.goTo('Leases')
  await page.getByText('There are no leases.').waitFor()
  await dashboard.goTo('Overview')
  await page.getByText('The page failed').waitFor()

  const { nodes } = await cluster.status(1)
  changed = { nodes: { ...nodes, 2: { ...nodes[2], api: 'javascript:alert(1)' } } }
  await eventually('it is there again', async () => {
    const again = page.locator('.notice').getByRole('button', { name: 'Try again' })
    if ((await again.count()) > 0) await again.click()
    return (await page.locator('.log').count()) > 0 ? true : null
  })
  await rowOf(dashboard, 2).getByText('javascript:alert(1)').waitFor()
  await page.unrouteAll({ behavior: 'ignoreErrors' })
  await page.route('**/cluster', async (route) => await route.abort())
  await page.locator('.gone').getByRole('link', { name: 'node 3' }).waitFor()
  t.equal(await page.locator('.gone').getByRole('link', { name: 'node 2' }).count(), 0, 'no address of the web')
  t.same(dashboard.complaints, [])
})

t.test('many members, learners, a change of voters and every warning are shown', async (t) => {
  const dashboard = await openOn(t, 1)
  if (dashboard === null) return
  const { page } = dashboard
  const at = '2026-01-01T00:00:00.000Z'
  const codes = [
    'wiped-voter',
    'foreign-cluster',
    'wrong-node',
    'same-id',
    'unsound-peer',
    'removed',
    'certificate-expiry',
  ]
  const detail =
    'node 3 at a-host-with-a-long-name.in-a-network.example:7101 says `something` that is long enough for two lines'
  const automation = { mode: 'on', decision: 'wait', reason: 'node 7 has not caught up yet', sinceMs: 61_000 } as const
  const status = statusOf({
    voters: [
      [1, 2, 3, 4, 5],
      [1, 2, 3, 4, 6],
    ],
    learners: [7, 4_294_967_295],
    members: {
      3: { reachable: false, lastContactMs: 90_000_000 },
      5: { matched: 2, lag: 1_234_567, phase: 'log', remainingMs: 45_000 },
      7: {
        phase: 'snapshot',
        lag: 9_000_000,
        remainingMs: 3_600_000,
        snapshot: {
          state: 'sending',
          percent: 42,
          bytesSent: 5_000_000_000,
          attempts: 1,
          startedMs: 1,
          lastFailure: null,
        } as never,
      },
    },
    warnings: codes.map((code, number) => ({ code, detail: `${detail} (${number})`, at }) as never),
    joining: { ...automation, failure: 'the leader refused node 9' } as never,
    autopilot: automation as never,
  })
  await page.route('**/cluster', async (route) => await route.fulfill({ json: status }))
  await page.getByText('The voters change from 1, 2, 3, 4 and 5 to 1, 2, 3, 4 and 6.').waitFor()
  await page.getByText('42% of the state').waitFor()
  t.same(await dashboard.look('many-members'), [])
  const overflow = await page.evaluate<unknown[]>(`[...document.querySelectorAll('.topology .node')].filter((node) => {
    const [shape, id] = [node.querySelector('circle, rect'), node.querySelector('.id')].map((one) => one.getBoundingClientRect())
    return id.left < shape.left || id.right > shape.right
  }).map((node) => node.textContent)`)
  t.same(overflow, [], 'an id has room in its node')
  await dashboard.goTo('Members')
  t.same(await dashboard.look('many-members-table'), [])
  t.same(dashboard.complaints, [])
})

t.test('a node that no cluster has is shown how to get one, and then is a cluster of one', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const alone = await TestCluster.start(t, { size: 1 })
  const dashboard = await Dashboard.open(t, browser, alone.node(1).addresses.api)
  const { page } = dashboard
  await page.getByText('This node belongs to no cluster').waitFor()
  for (const name of ['Overview', 'Members', 'Access', 'Keys', 'Leases', 'Locks']) {
    await dashboard.goTo(name)
    await eventually('it is read', async () => ((await page.getByText('Reading …').count()) === 0 ? true : null))
    t.same(await dashboard.look(`unformed-${name.toLowerCase()}`), [])
  }
  await alone.form()
  await dashboard.goTo('Overview')
  await page.locator('.vitals').getByText('node 1', { exact: true }).waitFor()
  t.same(await dashboard.look('single'), [])
  await dashboard.goTo('Members')
  await page.getByRole('button', { name: 'Remove node 1' }).press('Enter')
  await page.getByRole('dialog').waitFor()
  t.equal(await page.getByText('What will happen').count(), 0, 'nothing will')
  t.same(await dashboard.look('single-remove'), [])
  await page.keyboard.press('Escape')
  await dashboard.goTo('Leases')
  await page.getByText('There are no leases.').waitFor()
  t.same(dashboard.complaints, [])
})

t.test('a node that refuses to tell is quoted, with what was seen before if anything was', async (t) => {
  const dashboard = await openOn(t, 1)
  if (dashboard === null) return
  const { page } = dashboard
  await page.route('**/cluster', async (route) => {
    const detail = 'the token may not read the cluster'
    const problem = { title: 'Forbidden', status: 403, detail, code: 'forbidden', retryable: false, ambiguous: false }
    await route.fulfill({ status: 403, contentType: 'application/problem+json', json: problem })
  })
  const banner = page.locator('.gone')
  await banner.getByText('Node 1 tells nothing more.').waitFor()
  t.match(await banner.innerText(), /Forbidden: the token may not read the cluster\. What you see is from/)
  t.ok(await rowOf(dashboard, 1).isVisible())
  await page.reload()
  await page.locator('.notice', { hasText: 'The token may not read the cluster.' }).waitFor()
  await page.locator('.identity', { hasText: 'refuses' }).waitFor()
  t.equal(await banner.count(), 0, 'it is not said twice')
  t.same(await dashboard.blemishes(), [])
})

t.test(
  'a leader that is killed is missed, and its successor shown; the page of the dead node waits for it',
  async (t) => {
    const id = await leaderId()
    const [witness] = cluster.others(id, 4).map((node) => node.id)
    const dashboard = await openOn(t, witness ?? 0)
    const dead = dashboard === null ? null : await openOn(t, id)
    if (dashboard === null || dead === null) return
    await cluster.node(id).kill()

    const next = await eventually('another leader', async () => {
      const { leader } = await cluster.status(witness ?? 0)
      return leader === id ? null : leader
    })
    await rowOf(dashboard, next).getByText('leader').waitFor()
    await rowOf(dashboard, id).getByText('not connected').waitFor()
    await dashboard.page.getByText(`Node ${id} is not connected`).waitFor()
    const log = dashboard.page.locator('.log')
    await log.getByText(`Node ${next} leads in term`).first().waitFor()
    await log.getByText(`The connection to node ${id} is lost.`).waitFor()
    t.same(await dashboard.blemishes(), [])
    await dashboard.shoot('leader-killed')

    const banner = dead.page.getByRole('alert').filter({ hasText: `Node ${id} does not answer.` })
    await banner.waitFor()
    const href = await banner.getByRole('link', { name: `node ${witness}` }).getAttribute('href')
    t.equal(href, `${cluster.node(witness ?? 0).addresses.api}/ui/`)
    t.same(await dead.blemishes(), [])
    await dead.shoot('gone')

    // A node that does not lead lets the leader say whether too few voters would remain.
    const follower = await openOn(t, cluster.others(id, 4).find((node) => node.id !== next)?.id ?? 0)
    if (follower === null) return
    await follower.goTo('Members')
    await rowOf(follower, id).getByText('not connected').waitFor()
    await confirm(follower, `Remove node ${next}`, String(next), `Remove node ${next}`)
    const dialog = follower.page.getByRole('dialog')
    await dialog.getByRole('alert').getByText('quorum-at-risk').waitFor()
    const remove = dialog.getByRole('button', { name: `Remove node ${next}` })
    t.ok(await remove.isDisabled(), 'not once more by a slip')
    await dialog.getByLabel('Do it although a majority may be missing').press('Space')
    t.ok(await remove.isEnabled())
    t.same(await follower.blemishes(), [])
    await follower.shoot('at-risk')
    await follower.page.keyboard.press('Escape')

    await cluster.node(id).start()
    await banner.waitFor({ state: 'detached' })
    await dead.page.locator('.log').getByText(`Node ${id} answers again.`).waitFor()
    await rowOf(dashboard, id).getByText('connected', { exact: true }).waitFor()
    t.same([...dashboard.complaints, ...dead.complaints], [])
  },
)

t.test('a node that has lost its majority says so, and can be told to stand for election', async (t) => {
  const id = await leaderId()
  const others = cluster.others(id, 4)
  const [witness] = others
  const dashboard = await openOn(t, witness?.id ?? 0)
  if (dashboard === null || witness === undefined) return
  const { page } = dashboard
  for (const node of cluster.others(witness.id, 4)) await node.kill()
  await page.getByText('A majority of the voters is missing').waitFor()
  await page.locator('.vitals').getByText('no majority').waitFor()
  await page.locator('.vitals').getByText('nobody').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('no-majority')
  await dashboard.goTo('Members')
  await confirm(dashboard, 'Stand for election', String(witness.id), 'Stand for election')
  await untilClosed(dashboard)
  await page.getByText(`Node ${witness.id} stands for election.`).waitFor()

  for (const node of cluster.others(witness.id, 4)) await node.start()
  await dashboard.goTo('Overview')
  await page.getByText('A majority of the voters is missing').waitFor({ state: 'detached' })
  await page
    .locator('.vitals')
    .getByText(/^node \d$/)
    .waitFor()
  t.same(dashboard.complaints, [])
})

t.test('a learner is sent the state, and voters that change are shown until they have changed', async (t) => {
  if (browser === null) return withoutBrowser(t)
  // An election timeout that is longer than the test: the leader stays while the other voter is stopped.
  const patience = ['--heartbeat', '200ms', '--election-timeout', '50s-60s']
  const flags = [...patience, '--purge-every', '4000', '--keep-entries', '10', '--snapshot-rate', '1MiB']
  const pair = await TestCluster.start(t, { size: 2, flags })
  const [leader, learner] = [pair.node(1), pair.node(2)]
  const members = [leader.addresses]
  t.equal((await leader.client.post('/cluster/initialize?wait=committed', { members })).status, 200)
  for (let number = 0; number < 8; number++) {
    // Random, so that it is as large on its way as it is here.
    const value = randomBytes(720 * 1024).toString('base64')
    t.equal((await leader.client.putKey(`large/${number}`, value)).status, 200)
  }
  t.equal((await leader.client.post('/cluster/purge')).status, 200)

  const dashboard = await Dashboard.open(t, browser, leader.addresses.api)
  const { page } = dashboard
  await page.locator('.vitals').getByText('node 1', { exact: true }).waitFor()

  t.equal((await leader.client.post('/cluster/learners', { ...learner.addresses, wait: false })).status, 200)
  const bar = rowOf(dashboard, 2).getByRole('progressbar', { name: /^gets the state, .*B/ })
  const share = await eventually('some of the state is sent', async () => {
    const value = Number(await bar.getAttribute('value'))
    return value > 0 && value < 100 ? value : null
  })
  await page.locator('.topology .link.behind', { hasText: /% of the state/ }).waitFor()
  const drawn = Number.parseFloat(
    await page.locator('.topology .arc').evaluate((arc) => {
      return String(Reflect.get(Reflect.get(globalThis, 'getComputedStyle')(arc), 'strokeDasharray'))
    }),
  )
  const round = 2 * Math.PI * 31
  t.ok(drawn > 0 && drawn < round, `${drawn} of ${round} for ${share}%`)
  t.same(await dashboard.look('snapshot'), [])
  await rowOf(dashboard, 2).getByText('in step').waitFor()
  await page.locator('.log').getByText('Learner 2 has caught up.').waitFor()

  await dashboard.goTo('Members')
  await page.getByRole('button', { name: 'Promote node 2' }).press('Enter')
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel(/^Type /).fill('2')
  learner.pause()
  await dialog.getByRole('button', { name: 'Promote node 2' }).press('Enter')
  const changing = 'The voters change from 1 to 1 and 2.'
  await page.getByText(changing).first().waitFor()
  await page.getByText('The change has not reached node 2 yet.').waitFor()
  t.match(await rowOf(dashboard, 2).innerText(), /joining/)
  t.ok(await page.locator('.row-actions button').first().isDisabled(), 'one change at a time')
  await page.keyboard.press('Escape')
  await dashboard.goTo('Overview')
  await page.getByText('voters are changing').waitFor()
  await page.locator('.topology .node', { hasText: 'joining' }).waitFor()
  await page.locator('.log').getByText('Voters begin to change: 1 → 1, 2.').waitFor()
  t.same(await dashboard.look('joint'), [])

  learner.resume()
  await page.getByText(changing).waitFor({ state: 'detached' })
  await page.locator('.log').getByText('The voters are 1, 2.').waitFor()
  t.same([...dashboard.complaints, ...dashboard.strays], [])
})

t.test('a picture was taken of every page in every variant, and each shows something', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const dashboard = await Dashboard.open(t, browser, cluster.node(1).addresses.api)
  const pages = ['Overview', 'Charts', 'Members']
  await dashboard.page.getByRole('heading', { level: 1, name: 'Overview' }).waitFor()
  const links = await dashboard.page.getByRole('navigation').getByRole('link').allInnerTexts()
  // The tests of the other pages look at their pictures.
  t.same(links, [...pages, 'Access', 'Keys', 'Watch', 'Leases', 'Locks'])
  t.same(picturesMissing(pages.map((name) => name.toLowerCase())), [])
  const ui = new URL('../../dist/ui/', import.meta.url)
  const packed = (await readdir(ui, { recursive: true })).filter((name) => name.endsWith('.br'))
  const sizes = await Promise.all(packed.map(async (name) => (await stat(new URL(name, ui))).size))
  t.ok(packed.length >= 3)
  t.ok(
    sizes.reduce((sum, size) => sum + size, 0) < 150_000,
    `the whole of it takes ${sizes.join(' + ')} bytes on its way`,
  )
  await dashboard.page.goto('about:blank')
  await t.rejects(dashboard.shoot('blank'), /nothing to see at about:blank/)
  await dashboard.page.setContent('<main><h1>A page</h1><input /></main>')
  t.match(
    (await barriersOf(dashboard.page)).join(),
    'label: Form elements must have labels: ["input"]',
    'barriers are found',
  )
})
