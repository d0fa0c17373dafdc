import type { Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { patientElections, TestCluster } from '../e2e/support/cluster.ts'
import type { RestAnswer } from '../e2e/support/rest-client.ts'
import { openBrowser, withoutBrowser } from '../support/browser.ts'
import { Dashboard, picturesMissing, untilClosed } from './support/dashboard.ts'

// One browser and one cluster for the whole file. The first test makes its first token.
const browser = await openBrowser(t)
const cluster = await TestCluster.formed(t, { size: 3, flags: patientElections })
let admin = ''

interface Made {
  readonly id: number
  readonly secret: string
}

const under = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } })

/** Sends a request to node 1 under a token. */
async function ask(method: string, path: string, body: unknown, secret: string): Promise<RestAnswer> {
  const given = secret === '' ? {} : under(secret)
  return await cluster.node(1).client.request(method, path, { ...given, ...(body === null ? {} : { body }) })
}

/** The same, of what has to succeed. */
async function made<Answer>(method: string, path: string, body: unknown, secret = admin): Promise<Answer> {
  const answer = await ask(method, path, body, secret)
  if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.summary}`)
  return answer.status === 204 ? (null as Answer) : answer.json<Answer>()
}

async function makeToken(name: string, roles: readonly string[], more: object = {}): Promise<Made> {
  return await made('POST', '/auth/tokens', { name, roles, ...more })
}

async function makeRole(name: string, grants: readonly object[], rights: readonly string[]): Promise<void> {
  await made('PUT', `/auth/roles/${name}`, { grants, rights })
}

async function enter(page: Page, heading: string, secret: string): Promise<void> {
  await page.getByRole('heading', { name: heading }).waitFor()
  await page.getByLabel('Token', { exact: true }).fill(secret)
  await page.keyboard.press('Enter')
}

/** The dashboard of node 2, with a token. */
async function openAs(t: Test, secret: string): Promise<Dashboard | null> {
  if (browser === null) {
    withoutBrowser(t)
    return null
  }
  const dashboard = await Dashboard.open(t, browser, cluster.node(2).addresses.api)
  await enter(dashboard.page, 'A token, please', secret)
  await dashboard.page.getByRole('heading', { name: 'A token, please' }).waitFor({ state: 'detached' })
  return dashboard
}

t.test('roles and tokens are shown without a secret or a hash, and a token is revoked', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const { client, addresses } = cluster.node(1)
  const first = await Dashboard.open(t, browser, addresses.api)
  await first.goTo('Access')
  await first.page.getByText('There are no tokens').waitFor()
  t.same(await first.blemishes(), [])
  const leader = await cluster.leader()
  const root = await leader.client.post('/auth/bootstrap', { name: 'root' })
  t.equal(root.status, 201, root.summary)
  admin = root.json<Made>().secret
  cluster.token = admin
  const grants = [
    { access: 'read-write', prefix: 'app/' },
    { access: 'read', key: 'settings' },
    { access: 'write', start: 'a', end: 'b\n' },
  ]
  await makeRole('app', grants, ['cluster:read'])
  const day = 86_400_000
  const limited = { ttlMs: day, requestsPerSecond: 500, bytesPerSecond: 1_048_576 }
  const web = await makeToken('web-1', ['app'], limited)
  const next = await makeToken('web-1', ['app'])
  await makeToken('build', [], { certificateName: 'build.example' })

  const dashboard = await Dashboard.open(t, browser, addresses.api)
  const { page } = dashboard
  const answers: string[] = []
  page.on('response', (response) => {
    if (!response.url().includes('/auth/')) return
    void response.text().then(
      (text) => answers.push(text),
      () => undefined,
    )
  })
  await page.getByLabel('Token', { exact: true }).fill(admin)
  await page.keyboard.press('Enter')
  await dashboard.goTo('Access')
  // A browser whose clock is two days ahead.
  await page.addInitScript('{ const now = Date.now; Date.now = () => now() + 2 * 86_400_000 }')
  await page.reload()
  await page.getByText('certificates named “build.example” stand for it').waitFor()
  t.same(await dashboard.look('access'), [])
  const row = (id: number): Locator => page.locator('tbody tr', { has: page.getByLabel(`Revoke token ${id}`) })
  t.match(
    await row(web.id).innerText(),
    /web-1\s+app\s+\d{4}-\d\d-\d\d \d\d:\d\d UTC\s+at most 500 requests per second and node; at most 1 MiB/,
  )
  t.match(await page.locator('tbody tr', { hasText: 'this page' }).innerText(), /root/)
  const role = await page.locator('tbody tr', { hasText: '2 tokens' }).innerText()
  t.match(
    role,
    /app\s+read-write keys that begin with “app\/”\s+read the key “settings”\s+write keys from “a” up to “b\\n”\s+cluster:read/,
  )
  await page.getByText(/Roles and tokens last changed at revision \d+\./).waitFor()

  await page.getByLabel(`Revoke token ${web.id}`).press('Enter')
  const dialog = page.getByRole('dialog')
  await dialog.getByText('web-1 has another token, and keeps its leases and locks through it.').waitFor()
  await dashboard.shoot('access-revoke')
  const revoke = dialog.getByRole('button', { name: 'Revoke' })
  t.ok(await revoke.isDisabled(), 'nothing happens by a slip')
  await dialog.getByLabel(/^Type /).fill(String(web.id))
  await revoke.press('Enter')
  await row(web.id).waitFor({ state: 'detached' })
  t.ok(await row(next.id).isVisible())
  t.equal((await client.getKey('app/x', under(web.secret))).status, 401, 'it is revoked')
  t.equal((await client.getKey('app/x', under(next.secret))).status, 404, 'the other one is not')

  const ofPage = page.locator('tbody tr', { hasText: 'this page' })
  const [own = ''] = /\d+/.exec(await ofPage.innerText()) ?? []
  await page.getByLabel(`Revoke token ${own}`).press('Enter')
  await dialog.getByText('It is the token of this page').waitFor()
  await dialog.getByLabel(/^Type /).fill(own)
  await revoke.press('Enter')
  await dialog.getByText('last-admin').waitFor()
  await page.keyboard.press('Escape')
  t.ok(await ofPage.isVisible(), 'nobody is locked out')
  const shown = [await page.content(), ...answers].join()
  t.ok(answers.length >= 3)
  for (const { secret } of [web, next, { secret: admin }])
    t.notOk(shown.includes(secret.slice(8)), 'no secret is on the page, or in what it was told')
  t.notMatch(shown, /\b[0-9a-f]{64}\b/, 'nor a hash')
  t.same([dashboard.strays, dashboard.complaints], [[], []])

  await page.getByRole('button', { name: 'Forget the token' }).press('Enter')
  await page.getByLabel('Token', { exact: true }).fill(next.secret)
  await page.keyboard.press('Enter')
  await page.getByText('it needs the right auth:admin').waitFor()
  await page.reload()
  await page.getByText('it needs the right auth:admin').waitFor()
  t.equal(await page.locator('tbody tr').count(), 0)
  await page.getByText('Other tokens are not shown').waitFor()
  t.equal(await page.locator('tbody tr').count(), 0)
  t.match(await page.locator('.facts').innerText(), /Holder\s+web-1\s+Roles\s+app\s+Ends\s+never/)
  t.match(await page.locator('.allowed').innerText(), /read the key “settings”[^]*cluster:read/)
  t.equal(await page.getByText('build').count(), 0, 'nothing of other tokens')
  t.same(await dashboard.look('access-own'), [])

  // What a token with some rights opens, and what becomes of it when the token is revoked.
  const { page: guest } = await Dashboard.open(t, browser, addresses.api)
  await guest.getByLabel('Token', { exact: true }).fill(next.secret)
  await guest.keyboard.press('Enter')
  await guest.locator('.identity', { hasText: 'node 1,' }).waitFor()
  await guest.goto(`${addresses.api}/ui/#/keys?prefix=app%2F&new=app%2Fx`)
  await guest.getByRole('textbox', { name: 'Value' }).fill('one')
  await guest.getByRole('button', { name: 'Write' }).press('Enter')
  await guest.getByRole('button', { name: 'Edit' }).press('Enter')
  await guest.getByRole('textbox', { name: 'Value' }).fill('two')
  await guest.getByRole('button', { name: 'Save' }).press('Enter')
  await guest.getByText(/is saved, at revision/).waitFor()
  await guest.goto(`${addresses.api}/ui/#/watch?prefix=app%2F`)
  await guest.getByText('Live.').waitFor()
  t.equal((await client.request('DELETE', `/auth/tokens/${next.id}`, under(admin))).status, 204)
  await guest.getByText('Ended.').waitFor()
  const meanwhile = await client.request('PUT', '/kv/app/x', { body: 'while it had ended', ...under(admin) })
  t.equal(meanwhile.status, 200)
  await guest.locator('.tools').getByRole('button', { name: 'Go on' }).press('Enter')
  await guest.getByRole('heading', { name: 'Another token, please' }).waitFor()
  await guest.getByLabel('Token', { exact: true }).fill(admin)
  await guest.keyboard.press('Enter')
  await guest.getByText('while it had ended').waitFor()
  await guest.getByText('Live.').waitFor()
})

/** What a page, and everything that it asked for, may not have in it. */
function noteAddresses({ page }: Dashboard): readonly string[] {
  const addresses: string[] = []
  page.on('request', (request) => void addresses.push(request.url()))
  page.on('framenavigated', (frame) => void addresses.push(frame.url()))
  return addresses
}

async function expectUntold(t: Test, { page }: Dashboard, addresses: readonly string[], secret: string): Promise<void> {
  const seen = await page.evaluate<string>(
    `[document.documentElement.outerHTML, document.cookie, location.href, document.title, ...Object.values(localStorage)].join()`,
  )
  t.ok(addresses.length > 0)
  t.notOk([seen, ...addresses].join().includes(secret.slice(8)), 'no secret is on the page, or in an address')
}

interface Jobs {
  /** May read and write what begins with `jobs/`, and holds the lease and the lock. */
  readonly worker: Made
  /** May read it. */
  readonly viewer: Made
  readonly lease: number
  readonly lockLease: number
  readonly hiddenLease: number
}

/** A lease of two keys that some may read and one that only root may, and a lock of each kind. */
async function jobsOf(prefix: string): Promise<Jobs> {
  const role = prefix.replace('/', '')
  await makeRole(`${role}-worker`, [{ access: 'read-write', prefix }], ['cluster:read'])
  await makeRole(
    `${role}-viewer`,
    [
      { access: 'read', prefix },
      { access: 'read', key: `${role}-settings` },
    ],
    ['cluster:read'],
  )
  const worker = await makeToken(`${role}-worker`, [`${role}-worker`])
  const viewer = await makeToken(`${role}-viewer`, [`${role}-viewer`])
  const { id: lease } = await made<{ id: number }>('POST', '/leases', { ttlMs: 900_000 }, worker.secret)
  for (const key of [`${prefix}1`, `${prefix}2`]) await made('PUT', `/kv/${key}?lease=${lease}`, 'x', worker.secret)
  await made('PUT', `/kv/hidden-of-${role}?lease=${lease}`, 'x')
  const lock = { ttlMs: 900_000, owner: 'job 1' }
  const { lease: lockLease } = await made<{ lease: number }>('POST', `/locks/${prefix}nightly`, lock, worker.secret)
  const { lease: hiddenLease } = await made<{ lease: number }>('POST', `/locks/hidden-of-${role}`, lock)
  return { worker, viewer, lease, lockLease, hiddenLease }
}

t.test('a token that may read some names lists those locks, and releases none', async (t) => {
  const { viewer, worker, lockLease } = await jobsOf('jobs/')
  const dashboard = await openAs(t, viewer.secret)
  if (dashboard === null) return
  const addresses = noteAddresses(dashboard)
  const { page } = dashboard
  for (const name of ['Keys', 'Locks']) {
    await dashboard.goTo(name)
    await page.getByText('it needs read access').waitFor()
    await page.getByText('The token of this page may read:').waitFor()
    t.same(await dashboard.look(`${name.toLowerCase()}-refused`), [])
  }
  await page.getByRole('link', { name: 'what begins with “jobs/”' }).press('Enter')
  await page.getByRole('link', { name: 'jobs/nightly' }).press('Enter')
  await page.locator('.facts', { hasText: 'job 1' }).waitFor()
  t.equal(await page.getByLabel('Names begin with').inputValue(), 'jobs/')
  t.equal(await page.getByText('hidden-of-jobs').count(), 0)
  t.same(await dashboard.look('locks-limited'), [])

  const release = page.getByRole('button', { name: 'Release' })
  await release.press('Enter')
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel(/^Type /).fill(String(lockLease))
  await dialog.getByRole('button', { name: 'Release' }).press('Enter')
  await dialog.getByRole('alert').getByText('it needs write access to "jobs/nightly"').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('release-refused')
  t.match(await ask('GET', '/locks/jobs/nightly', null, admin).then(({ text }) => text), `"lease":${lockLease}`)

  await made('DELETE', `/auth/tokens/${viewer.id}`, null)
  await dialog.getByRole('heading', { name: 'Another token, please' }).waitFor()
  await dialog.getByLabel('Token', { exact: true }).fill(worker.secret)
  await dialog.getByRole('button', { name: 'Go on' }).press('Enter')
  await dialog.getByRole('heading', { name: 'Another token, please' }).waitFor({ state: 'detached' })
  t.match(await ask('GET', '/locks/jobs/nightly', null, admin).then(({ text }) => text), `"lease":${lockLease}`)
  await dialog.getByRole('button', { name: 'Release' }).press('Enter')
  await page.getByText('“jobs/nightly” is released.').waitFor()
  await page.getByText('Nobody holds it.').waitFor()
  await expectUntold(t, dashboard, addresses, viewer.secret)
  await expectUntold(t, dashboard, addresses, worker.secret)
  t.same([dashboard.strays, dashboard.complaints], [[], []])
})

t.test('a token sees of a lease the keys that it may read, and ends its own leases alone', async (t) => {
  const { viewer, worker, lease, hiddenLease } = await jobsOf('works/')
  const dialog = ({ page }: Dashboard): Locator => page.getByRole('dialog')
  const revoke = async (dashboard: Dashboard, id: number): Promise<void> => {
    await dashboard.page.getByRole('button', { name: 'Revoke' }).press('Enter')
    await dialog(dashboard)
      .getByLabel(/^Type /)
      .fill(String(id))
    await dialog(dashboard).getByRole('button', { name: 'Revoke' }).press('Enter')
  }
  const open = async ({ page }: Dashboard, id: number): Promise<void> => {
    await page.goto(`${cluster.node(2).addresses.api}/ui/#/leases?lease=${id}`)
    await page.getByRole('button', { name: 'Revoke' }).waitFor()
  }
  const dashboard = await openAs(t, viewer.secret)
  if (dashboard === null) return
  const addresses = noteAddresses(dashboard)
  const { page } = dashboard
  await open(dashboard, lease)
  await page.getByText('Keys that you may not read are not shown.').waitFor()
  t.same(await page.locator('.lease-keys li').allInnerTexts(), ['works/1', 'works/2'])
  t.equal(await page.getByText('hidden-of-works').count(), 0)
  t.same(await dashboard.look('leases-limited'), [])
  await page.getByRole('button', { name: 'Keep alive' }).press('Enter')
  const refusal = { hasText: 'forbidden' } as const
  await page.locator('.notice.bad code', refusal).waitFor()
  await dashboard.shoot('keepalive-refused')
  await revoke(dashboard, lease)
  await dialog(dashboard).getByText('So will those that you may not read, if there are any.').waitFor()
  await dialog(dashboard).locator('.notice.bad code', refusal).waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('revoke-refused')
  await page.keyboard.press('Escape')
  t.equal((await ask('GET', `/leases/${lease}`, null, admin)).status, 200, 'it is there still')

  await open(dashboard, hiddenLease)
  await page.getByText('No key that you may read goes with it.').waitFor()
  t.equal(await page.getByText('hidden-of-works').count(), 0, 'a name that may not be read')
  await page.getByRole('button', { name: 'Revoke' }).press('Enter')
  await dialog(dashboard).getByText('The lock that it holds passes on to the next who waits.').waitFor()
  await page.keyboard.press('Escape')
  await expectUntold(t, dashboard, addresses, viewer.secret)

  const own = await openAs(t, worker.secret)
  if (own === null) return
  await open(own, lease)
  await own.page.getByRole('button', { name: 'Keep alive' }).press('Enter')
  await own.page.getByText(`Lease ${lease} lasts for another 15 min.`).waitFor()
  await revoke(own, lease)
  await own.page.getByText(`Lease ${lease} is revoked, and 3 keys with it.`).waitFor()
  await own.page.getByText('There is no such lease').waitFor()
  await own.page.locator('h1:focus').waitFor()
  t.equal((await ask('GET', '/kv/hidden-of-works', null, admin)).status, 404)
  t.same([dashboard.strays, dashboard.complaints, own.strays, own.complaints], [[], [], [], []])
})

t.test('the page asks for a token, and does with it what that may do', async (t) => {
  if (browser === null) return withoutBrowser(t)
  await makeRole('reader', [{ access: 'read', prefix: 'a/' }], ['cluster:read'])
  const { secret: reader } = await makeToken('ann', ['reader'])

  const dashboard = await Dashboard.open(t, browser, cluster.node(1).addresses.api)
  const { page } = dashboard
  await enter(page, 'A token, please', `quorate_${'x'.repeat(43)}`)
  await enter(page, 'Another token, please', reader)
  await page.locator('.identity', { hasText: 'node 1,' }).waitFor()
  await page.locator('.log').getByText('The node asks this page for a token.').waitFor()
  await page.locator('.log').getByText('Node 1 answers.').waitFor()
  await dashboard.goTo('Charts')
  await page.locator('.legend strong', { hasText: 'MiB' }).first().waitFor()
  await dashboard.goTo('Keys')
  await page.getByText('it needs read access').waitFor()
  await page.getByLabel('Prefix').fill('a/')
  await page.getByText('it needs read access').waitFor({ state: 'detached' })
  await dashboard.shoot('reader')

  await page.getByRole('button', { name: 'Forget the token' }).press('Enter')
  await enter(page, 'A token, please', admin)
  await page.getByLabel('Prefix').fill('')
  await page.getByText('it needs read access').waitFor({ state: 'detached' })

  const operator = async (): Promise<Made> => await makeToken('operator', ['admin'])
  const [first, second] = [await operator(), await operator()]
  const revoke = async ({ id }: Made): Promise<void> => await made('DELETE', `/auth/tokens/${id}`, null)
  const sent: string[] = []
  page.on('request', (request) => {
    if (request.url().endsWith('/cluster/purge')) sent.push(request.headers()['authorization'] ?? '')
  })
  await page.getByRole('button', { name: 'Forget the token' }).press('Enter')
  await enter(page, 'A token, please', first.secret)
  await dashboard.goTo('Members')
  const dialog = page.getByRole('dialog')
  const free = dialog.getByRole('button', { name: 'Free the log' })
  await page.getByRole('button', { name: 'Free its log' }).press('Enter')
  await dialog.getByLabel(/^Type /).fill('1')
  await revoke(first)
  await dialog.getByRole('heading', { name: 'Another token, please' }).waitFor()
  await free.press('Enter')
  await dialog.getByRole('alert').getByText('unauthenticated').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('token-in-dialog')
  await page.keyboard.press('Escape')
  await untilClosed(dashboard)
  await enter(page, 'Another token, please', second.secret)
  await page.locator('.identity', { hasText: 'node 1,' }).waitFor()
  await page.getByRole('button', { name: 'Free its log' }).press('Enter')
  t.same(sent, [`Bearer ${first.secret}`], 'what was given up is not done with the next token')

  await dialog.getByLabel(/^Type /).fill('1')
  await revoke(second)
  await dialog.getByRole('heading', { name: 'Another token, please' }).waitFor()
  await dialog.getByLabel('Token').fill(admin)
  await dialog.getByRole('button', { name: 'Go on' }).press('Enter')
  await dialog.getByRole('heading', { name: 'Another token, please' }).waitFor({ state: 'detached' })
  await free.press('Enter')
  await untilClosed(dashboard)
  t.same(
    sent,
    [first, { secret: admin }].map(({ secret }) => `Bearer ${secret}`),
  )
  t.same(dashboard.complaints, [])
})

t.test('a picture was taken of every page in every variant', async (t) => {
  if (browser === null) return withoutBrowser(t)
  t.same(
    picturesMissing(['access', 'access-own', 'keys-refused', 'leases-limited', 'locks-limited', 'locks-refused']),
    [],
  )
})
