import { readFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { Browser, Locator, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import type { MemberSpec } from '../../src/api/cluster.ts'
import type { Server } from '../../src/server.ts'
import { eventually } from '../e2e/support/eventually.ts'
import { openBrowser, withoutBrowser } from '../support/browser.ts'
import { openCheckedApi, type Document } from '../support/checked-api.ts'
import { listen } from '../support/raw-client.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { startTestNode } from '../support/test-node.ts'

/** Serves a page that is none of a node, under every name, and gives its port. */
async function servePage(t: Test): Promise<number> {
  const html = await readFile(new URL('../support/other-site.html', import.meta.url))
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(html)
  })
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => void server.close())
  t.teardown(() => server.closeAllConnections())
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the server has no port')
  return address.port
}

interface Seen {
  readonly method: string | undefined
  readonly path: string | undefined
  readonly origin: string | undefined
  readonly site: string | undefined
}

/** A node in memory that is reached by a name, and what browsers asked of it. */
async function serveNode(t: Test, origins: readonly string[] = []) {
  const api = await openCheckedApi(t, { origins })
  const port = await listen(api.app)
  const seen: Seen[] = []
  api.app.server.on('request', ({ method, url, headers }) => {
    const { origin, 'sec-fetch-site': site } = headers
    seen.push({ method, path: url, origin, site: site as string | undefined })
  })
  return { ...api, seen, url: `http://node.example:${port}` }
}

async function openPage(t: Test, browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage()
  t.teardown(() => page.close())
  await page.goto(url)
  return page
}

// One for the whole file: its start is most of what it costs.
const browser = await openBrowser(t)

t.test('a page of another site changes nothing, whatever name a node is reached by', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const node = await serveNode(t)
  const port = await servePage(t)
  const page = await openPage(t, browser, `http://evil.example:${port}/`)
  t.equal(await page.evaluate('isSecureContext'), false, 'as on any server in a network')
  await page.evaluate(`attack(${JSON.stringify(node.url)})`)

  const posts = node.seen.filter(({ method, path }) => method === 'POST' && path === '/cluster/initialize')
  t.ok(posts.length >= 8, `${posts.length} requests to form a cluster arrived`)
  t.same(new Set(posts.map(({ site }) => site)), new Set([undefined]), 'without a word of the site that they come from')
  t.same(new Set(posts.map(({ origin }) => origin)), new Set([`http://evil.example:${port}`, 'null']))
  t.same(node.services.cluster.calls, [])
  t.match(await (await fetch(`${node.url.replace('node.example', '127.0.0.1')}/cluster`)).json(), { clusterId: null })
})

t.test("the node's own page changes what it is told to, whatever name it is reached by", async (t) => {
  if (browser === null) return withoutBrowser(t)
  const node = await serveNode(t)
  const page = await openPage(t, browser, `${node.url}/livez`)
  const statuses = await page.evaluate(async () => {
    const json = { 'content-type': 'application/json' }
    const answers = [
      await fetch('/cluster/initialize', { method: 'POST' }),
      await fetch('/kv/key', { method: 'PUT', body: 'value' }),
      await fetch('/cluster/membership', { method: 'PUT', headers: json, body: '{"voters": [1]}' }),
      await fetch('/kv/key', { method: 'DELETE' }),
    ]
    return answers.map(({ status }) => status)
  })
  t.same(statuses, [200, 200, 200, 200])
})

t.test('pages of an origin that is named use the API, and no others do', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const port = await servePage(t)
  const node = await serveNode(t, [`http://ui.example:${port}`])
  const use = async (host: string): Promise<unknown> => {
    const page = await openPage(t, browser, `http://${host}:${port}/`)
    return await page.evaluate(async (url) => {
      const put = await fetch(`${url}/kv/key`, { method: 'PUT', body: 'value', headers: { 'if-none-match': '*' } })
      const read = await fetch(`${url}/kv/key`)
      const absent = await fetch(`${url}/kv/absent`)
      const tag = read.headers.get('etag')
      const deleted = await fetch(`${url}/kv/key`, { method: 'DELETE', headers: { 'if-match': tag ?? '' } })
      return [put.status, await read.text(), read.headers.get('quorate-version'), absent.status, deleted.status]
    }, node.url)
  }
  t.same(await use('ui.example'), [200, 'value', '1', 404, 200])
  await t.rejects(use('other.example'))
  t.notOk(node.seen.some(({ method, origin }) => method !== 'OPTIONS' && method !== 'GET' && origin?.includes('other')))
})

/** The page of a node, without what it says of answers: drawing that takes a browser longer than all the rest. */
async function openDocumentation(t: Test, browser: Browser, origin: string): Promise<Page> {
  const page = await browser.newPage()
  t.teardown(() => page.close())
  await page.route('**/docs/json', async (route) => {
    const response = await route.fetch()
    const document = (await response.json()) as { paths: Record<string, Record<string, { responses: object }>> }
    for (const methods of Object.values(document.paths))
      for (const operation of Object.values(methods)) operation.responses = { default: { description: 'left out' } }
    await route.fulfill({ response, json: document })
  })
  await page.goto(`${origin}/docs`)
  return page
}

/** The input of each operation: fields by name, and a body where the example names nodes that do not exist. */
interface Trial {
  readonly fields?: Readonly<Record<string, string>>
  readonly body?: unknown
}

/** Executes one operation with what it requires and each of `trials` alone, and gives what the page shows. */
async function tryOut(page: Page, id: string, trials: readonly Trial[]): Promise<string[]> {
  const block = page.locator(`.opblock[id$="-${id}"]`)
  await press(block.locator('.opblock-summary-control'))
  await press(block.locator('.try-out__btn'))
  const execute = block.locator('.btn.execute')
  await execute.waitFor()
  const names = await block.locator('tr[data-param-name]:has(.required)').evaluateAll((rows) => {
    return rows.map((row) => row.getAttribute('data-param-name') ?? '')
  })
  const answer = block.locator('.live-responses-table')
  const shown: string[] = []
  for (const { fields = {}, body } of trials) {
    const forgotten = names.find((name) => fields[name] === undefined)
    if (forgotten !== undefined) throw new Error(`${id} requires ${forgotten}`)
    for (const [name, text] of Object.entries(fields))
      await block.locator(`tr[data-param-name="${name}"] input`).fill(text)
    if (body !== undefined) await block.locator('textarea.body-param__text').fill(JSON.stringify(body))
    await press(execute)
    const status = await answer.locator('.response-col_status').last().innerText()
    shown.push(`${status.trim()} ${await block.locator('.request-url').innerText()}`)
    await press(block.locator('.btn-clear'))
    await answer.waitFor({ state: 'detached' })
  }
  await press(block.locator('.opblock-summary-control'))
  return shown
}

/** By the keyboard: a mouse would wait for what is drawn, and a busy machine draws slowly. */
async function press(button: Locator): Promise<void> {
  await button.press('Enter')
}

/** The page sends this token from now on. */
async function authorize(page: Page, secret: string): Promise<void> {
  await press(page.locator('.scheme-container .authorize'))
  const dialog = page.locator('.dialog-ux')
  await dialog.locator('input').fill(secret)
  await press(dialog.locator('.auth-btn-wrapper .authorize'))
  await press(dialog.locator('.auth-btn-wrapper .btn-done'))
  await dialog.waitFor({ state: 'detached' })
}

t.test('"Try it out" works for every operation with what it requires alone', async (t) => {
  if (browser === null) return withoutBrowser(t)
  const directory = await temporaryDirectory(t)
  const servers = new Map<number, Server>()
  const open = async (id: number): Promise<MemberSpec> => {
    const server = await startTestNode(t, id, `${directory}/${id}`)
    servers.set(id, server)
    return { id, ...server.addresses }
  }
  const [one, two, three, four] = [await open(1), await open(2), await open(3), await open(4)]
  const send = async (method: string, path: string, body: unknown): Promise<void> => {
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${three.api}${path}`, { method, headers, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(await response.text())
  }
  const page = await openDocumentation(t, browser, three.api)
  const tried = new Set<string>()
  const tryIt = async (id: string, ...trials: Trial[]): Promise<void> => {
    for (const shown of await tryOut(page, id, trials.length === 0 ? [{}] : trials)) t.match(shown, /^2\d\d\b/, id)
    tried.add(id)
  }

  await tryIt('initializeCluster')
  const inPath = { fields: { key: 'a/b c' } }
  const inQuery = { fields: { key: '..' } }
  for (const id of ['putKey', 'getKey', 'headKey']) await tryIt(id, inPath)
  for (const id of ['putKeyByQuery', 'headKeyByQuery']) await tryIt(id, inQuery)
  await tryIt('transact')
  await tryIt('importRecords')
  await tryIt('listVersions', inQuery)
  for (const id of ['getCompaction', 'compact', 'setRetention']) await tryIt(id)
  await tryIt('listKeys', {}, inQuery)
  await tryIt('deleteKey', inPath)
  const lease = { fields: { id: '7' } }
  await tryIt('grantLease', { body: { ttlMs: 600_000, id: 7 } })
  for (const id of ['getLease', 'renewLease', 'revokeLease']) await tryIt(id, lease)
  await tryIt('listLeases')
  for (const [how, name] of [
    ['', 'l'],
    ['ByQuery', '..'],
  ] as const) {
    await tryIt(`acquireLock${how}`, { fields: { name }, body: { ttlMs: 600_000 } })
    if (how === '') await tryIt('getLock', { fields: { name } })
    else await tryIt('listLocks', {}, { fields: { name } })
    const lock = (await (await fetch(`${three.api}/locks?name=${name}`)).json()) as { holder: { lease: number } }
    await tryIt(`releaseLock${how}`, { fields: { name, lease: String(lock.holder.lease) } })
  }
  // It requires one of its fields, and any will do.
  await tryIt('deleteKeys', { fields: { prefix: 'a' } }, { fields: { prefix: '', key: '..' } })

  for (const member of [one, two]) await send('POST', '/cluster/learners?timeout=30s', member)
  await tryIt('setVoters')
  await tryIt('addLearner', { body: four })
  await tryIt('listLearners')
  await tryIt('changeVoters')
  await send('PATCH', '/cluster/membership', { remove: [4], retain: true })
  await tryIt('removeLearner', { fields: { id: '4' } })
  await tryIt('setAddresses', { fields: { id: '1' }, body: { raft: one.raft, api: one.api } })
  const making = page.waitForResponse((response) => response.url().includes('/auth/bootstrap'))
  await tryIt('bootstrapAuth', { body: {} })
  const { secret } = (await (await making).json()) as { readonly secret: string }
  await authorize(page, secret)
  await tryIt('getSelf')
  const role = { fields: { name: 'r' } }
  await tryIt('putRole', { ...role, body: { grants: [{ access: 'read', prefix: 'a/' }] } })
  await tryIt('getRole', role)
  await tryIt('listRoles')
  await tryIt('deleteRole', role)
  const authorization = `Bearer ${secret}`
  await tryIt('createToken', { body: { name: 'n', roles: [] } })
  await tryIt('listTokens')
  const listed = await fetch(`${three.api}/auth/tokens`, { headers: { authorization } })
  const { tokens } = (await listed.json()) as { readonly tokens: readonly { readonly id: number }[] }
  const token = { fields: { id: String(tokens.at(-1)?.id) } }
  for (const id of ['getToken', 'deleteToken']) await tryIt(id, token)
  const reads = ['getCluster', 'getLeader', 'getMembership', 'getSnapshot', 'getRoot', 'getLiveness', 'getReadiness']
  for (const id of [
    ...reads,
    'getMetrics',
    'getDiagnostics',
    'getVersion',
    'getOpenApi',
    'purgeLog',
    'transferLeadership',
  ])
    await tryIt(id)
  // A node stands for election where no leader is heard.
  for (const id of [4, 1, 2]) await servers.get(id)?.stop()
  await eventually('the leader is missed', async () => {
    const answer = await fetch(`${three.api}/cluster/leader`, { headers: { authorization } })
    const { leader } = (await answer.json()) as { leader: number | null }
    return leader === null ? true : null
  })
  await tryIt('campaign')

  const document = (await (await fetch(`${three.api}/openapi.json`)).json()) as Document
  const all = Object.values(document.paths).flatMap((methods) => Object.values(methods))
  // The page shows an answer once it has ended, and a watch never does.
  tried.add('watchKeys')
  t.same([...tried].sort(), all.map(({ operationId }) => operationId).sort(), 'no operation was left out')
})
