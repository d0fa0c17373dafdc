import type { Locator } from 'playwright-core'
import { eventually } from '../e2e/support/eventually.ts'
import { picturesMissing } from './support/dashboard.ts'
import { named, putKey, revisionOf, testsOfPages } from './support/data-pages.ts'

const test = await testsOfPages()

test('a watch shows changes as they happen, pauses, and goes on', async (t, { page, node, open }) => {
  await putKey(node, 'watched/before', 'x')
  await open('watch')
  await page.getByLabel('Prefix', { exact: true }).fill('watched/')
  await page.getByLabel('Prefix', { exact: true }).press('Enter')
  await page.getByText('Live.').waitFor()
  await page.locator('.watch-form input:focus').waitFor()
  const changes = page.getByRole('list', { name: 'Changes, the newest first' }).getByRole('listitem')
  const first = changes.first()
  await putKey(node, 'watched/a', 'one')
  await first.filter({ hasText: 'created' }).filter({ hasText: 'one' }).waitFor()
  await putKey(node, 'watched/a', Buffer.from([0xff]))
  await first.filter({ hasText: 'changed' }).filter({ hasText: 'binary' }).waitFor()
  await node.request('DELETE', '/kv/watched/a')
  await first.filter({ hasText: 'deleted' }).waitFor()
  await page.getByRole('button', { name: 'Pause' }).click()
  await page.getByText('Paused.').waitFor()
  await putKey(node, 'watched/b', 'while it was paused')
  await page.getByRole('button', { name: 'Go on' }).click()
  await first.filter({ hasText: 'while it was paused' }).waitFor()
  t.equal(await changes.count(), 4)
  await first.getByRole('link').click()
  await page.getByRole('tab', { name: 'History', selected: true }).waitFor()
})

test('a watch says that it was disconnected, and misses nothing', async (t, { page, node, open }, cluster) => {
  await open(`watch?key=${named('cut/a')}`)
  await page.getByText('Live.').waitFor()
  await putKey(node, 'cut/a', 'the first value')
  await page.getByText('the first value').waitFor()
  await cluster.node(2).kill()
  await page.getByText(/^Disconnected since/).waitFor()
  await putKey(cluster.node(1).client, 'cut/a', 'the second value')
  await cluster.node(2).start()
  await page.getByText('the second value').waitFor()
  await page.getByText('Live.').waitFor()
  t.equal(await page.getByRole('list', { name: 'Changes, the newest first' }).getByRole('listitem').count(), 2)
})

test('a watch from a revision that is not kept says so, and can begin now', async (t, { page, node, open }) => {
  await putKey(node, 'gone/a', 'one')
  const first = await revisionOf(node, 'gone/a')
  await putKey(node, 'gone/a', 'two')
  await putKey(node, 'gone/a', 'three')
  const last = await revisionOf(node, 'gone/a')
  t.equal((await node.post('/compaction', { revision: Number(last) })).status, 200)
  await open(`watch?prefix=${named('gone/')}&since=${first}`)
  await page.getByText('What happened meanwhile is not kept any more').waitFor()
  await page.getByRole('button', { name: 'Watch from now on' }).click()
  await page.getByText('Live.').waitFor()
  await putKey(node, 'gone/a', 'four')
  await page.getByText('four').waitFor()
  await open(`keys?key=${named('gone/a')}&tab=history`)
  await page.getByText(/^History reaches back to revision/).waitFor()
})

test('a lease is kept alive, and revoked with its keys', async (t, { page, node, open }) => {
  const { id } = (await node.post('/leases', { ttlMs: 900_000 })).json<{ id: number }>()
  for (const key of ['worker/1', 'worker/2']) await putKey(node, key, 'x', `&lease=${id}`)
  await open('leases')
  await page.getByRole('link', { name: String(id) }).click()
  await page.getByRole('link', { name: 'worker/2' }).waitFor()
  await page.getByRole('button', { name: 'Keep alive' }).click()
  await page.getByText(`Lease ${id} lasts for another 15 min.`).waitFor()
  await page.getByRole('button', { name: 'Revoke' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('2 keys will be deleted with it').waitFor()
  const revoke = dialog.getByRole('button', { name: 'Revoke' })
  t.ok(await revoke.isDisabled(), 'nothing happens by a slip')
  await dialog.getByRole('textbox').fill(String(id))
  await revoke.click()
  await page.getByText('There is no such lease').waitFor()
  t.equal((await node.get('/kv/worker/1')).status, 404)
})

test('leases are listed a page at a time, and opened by their ids', async (t, { page, node, open }) => {
  const ids: number[] = []
  for (let at = 0; at < 51; at++) ids.push((await node.post('/leases', { ttlMs: 600_000 })).json<{ id: number }>().id)
  const rows = page.locator('tbody tr')
  const untilRowCount = async (is: (count: number) => boolean): Promise<unknown> =>
    await eventually('the page is there', async () => (is(await rows.count()) ? true : null))
  await open('leases')
  await untilRowCount((count) => count === 50)
  const first = await rows.first().innerText()
  await page.getByRole('button', { name: 'On' }).click()
  await untilRowCount((count) => count > 0 && count < 50)
  await page.getByRole('button', { name: 'Back' }).click()
  await untilRowCount((count) => count === 50)
  t.equal(await rows.first().innerText(), first)
  const field = page.getByLabel('Id of a lease')
  for (const wrong of ['seven', '9999999999999999']) {
    await field.fill(wrong)
    await page.getByText(/^The id of a lease is a whole number/).waitFor()
  }
  await field.fill(String(ids[0]))
  await field.press('Enter')
  await page.getByRole('heading', { name: `Lease ${ids[0]}` }).waitFor()
  for (const id of ids) await node.request('DELETE', `/leases/${id}`)
})

test('a lock shows its holder and those who wait, and is released to the next', async (t, { page, node, open }) => {
  const request = (owner: string, waitMs: number) =>
    node.post('/locks/nightly', { ttlMs: 600_000, owner, waitMs }).then((answer) => answer.json<{ lease: number }>())
  const { lease } = await request('job 1', 0)
  const next = request('job 2', 60_000)
  await open('locks')
  await page.getByRole('link', { name: 'nightly' }).click()
  await page.getByText('Those who wait, in their order').waitFor()
  t.match(await page.locator('.card').first().innerText(), /Owner\s+job 1\s[^]*job 2, lease [0-9]{16}/)
  await page.getByRole('button', { name: 'Release' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('The next of 1 request that waits gets it in the same change.').waitFor()
  await dialog.getByRole('textbox').fill(String(lease))
  await dialog.getByRole('button', { name: 'Release' }).click()
  await page.locator('.facts', { hasText: 'job 2' }).waitFor()
  t.not((await next).lease, lease)
  await page.locator('tbody tr', { hasText: 'job 2' }).waitFor()
  await open(`locks?lock=${named('nobody/..')}`)
  await page.getByText('Nobody holds it.').waitFor()
})

test('locks are listed a page at a time, and by how their names begin', async (t, { page, node, open }) => {
  const names = Array.from({ length: 52 }, (_, at) => `/locks/paged/${100 + at}`)
  const leases = new Map<string, number>()
  for (const name of names)
    leases.set(name, (await node.post(name, { ttlMs: 600_000 })).json<{ lease: number }>().lease)
  await open('locks')
  const list = page.getByLabel('Names begin with')
  await list.fill('paged/')
  await page.getByRole('button', { name: 'List' }).click()
  const link = (name: string): Locator => page.getByRole('link', { name, exact: true })
  await link('paged/149').waitFor()
  t.equal(await link('paged/150').count(), 0)
  await page.getByRole('button', { name: 'On' }).click()
  await link('paged/151').waitFor()
  t.equal(await page.locator('tbody tr').count(), 2)
  await page.getByRole('button', { name: 'Back' }).click()
  await link('paged/100').waitFor()
  await link('paged/100').click()
  await page.getByText('does not say').first().waitFor()
  t.equal(await list.inputValue(), 'paged/', 'the list stays as it was')
  await list.fill('paged/none')
  await list.press('Enter')
  await page.getByText('No lock is held whose name begins with “paged/none”.').waitFor()
  await page.locator('input[placeholder="Names begin with"]:focus').waitFor()
  await page.getByRole('link', { name: 'Close' }).press('Enter')
  await page.locator('h1:focus').waitFor()
  await page.goBack()
  await page.goBack()
  await link('paged/100').waitFor()
  t.equal(await list.inputValue(), 'paged/', 'the field says what is listed')
  for (const [name, lease] of leases) await node.request('DELETE', `${name}?lease=${lease}`)
})

test('every page is readable in dark and light, and fits a telephone', async (t, { dashboard, page, node, open }) => {
  const list = (count: number): string =>
    JSON.stringify({ list: Array.from({ length: count }, (_, at) => `host-${at}`) })
  for (const count of [30, 31]) await putKey(node, 'seen/config', list(count))
  await putKey(
    node,
    'seen/binary',
    Uint8Array.from({ length: 500 }, (_, at) => at & 0xff),
  )
  await putKey(node, 'seen/ spaced\t', 'a')
  await putKey(node, 'seen/session', 'a', '&ttl=20m')
  await node.post(`/locks/seen`, { ttlMs: 600_000, owner: 'worker 3' })
  const lease = (await node.post('/leases', { ttlMs: 600_000 })).json<{ id: number }>().id
  await putKey(node, 'seen/worker', 'a', `&lease=${lease}`)
  const key = `prefix=${named('seen/')}&key=${named('seen/config')}`
  const hashes: Readonly<Record<string, string>> = {
    keys: `keys?prefix=${named('seen/')}`,
    json: `keys?${key}`,
    history: `keys?${key}&tab=history`,
    hex: `keys?key=${named('seen/binary')}`,
    absent: 'keys?key=absent',
    new: 'keys?new=a',
    branch: `keys?branch=${named('seen/')}`,
    watch: `watch?prefix=${named('seen/')}&since=${(await revisionOf(node, 'seen/binary')) || '0'}`,
    leases: `leases?lease=${lease}`,
    locks: 'locks?lock=seen',
  }
  for (const [name, hash] of Object.entries(hashes)) {
    await open(hash)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await eventually('it is read', async () => ((await page.getByText('Reading …').count()) === 0 ? true : null))
    t.same(await dashboard.look(`data-${name}`), [])
  }
})

test('a picture was taken of every page in every variant', async (t) => {
  const ofKeys = ['keys', 'json', 'history', 'hex', 'absent', 'new', 'branch']
  const pages = [...ofKeys, 'watch', 'leases', 'locks'].map((name) => `data-${name}`)
  t.same(picturesMissing(pages), [])
})
