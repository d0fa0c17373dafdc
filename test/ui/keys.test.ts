import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Download, Locator, Page, Route } from 'playwright-core'
import { eventually } from '../e2e/support/eventually.ts'
import { temporaryDirectory } from '../support/temporary-directory.ts'
import { named, putKey, revisionOf, testsOfPages, textOf } from './support/data-pages.ts'

const test = await testsOfPages()

const rowIn = (page: Page, name: string): Locator => page.getByRole('treeitem', { name, exact: true })

async function rowsOf(page: Page): Promise<string[]> {
  return await page.getByRole('treeitem').allTextContents()
}

/** Waits for exactly these lines in the tree, or for these as the first ones. */
async function untilRows(page: Page, lines: readonly string[], count?: number): Promise<void> {
  await eventually(`the tree shows ${lines.join(' ')}`, async () => {
    const rows = (await rowsOf(page)).slice(0, count)
    if (JSON.stringify(rows) === JSON.stringify(lines)) return true
    throw new Error(rows.join(' '))
  })
}

async function press(page: Page, ...keys: string[]): Promise<void> {
  for (const key of keys) await page.keyboard.press(key)
}

async function bytesIn(download: Download): Promise<Buffer> {
  return await readFile(await download.path())
}

test('keys are a tree, which is read as far as it is opened', async (t, { page, node, open }) => {
  const keys = ['tree/a', 'tree/b/1', 'tree/b/2', 'tree/c/d/e', 'tree:x:y']
  for (const key of keys) await putKey(node, key, `value of ${key}`)
  const lines = Array.from({ length: 5_000 }, (_, at) => JSON.stringify({ key: `tree/many/${at}`, value: '' }))
  const imported = await node.request('POST', '/kv', {
    body: lines.join('\n'),
    headers: { 'content-type': 'application/x-ndjson' },
  })
  t.equal(imported.status, 200)
  const listed: string[] = []
  page.on('request', (request) => {
    if (request.url().includes('/kv?')) listed.push(request.url())
  })
  await open(`keys?prefix=${named('tree/')}`)
  await untilRows(page, ['a', 'b/', 'c/', 'many/'])
  t.ok(listed.length <= 6, `${listed.length} requests for a level with 5,000 keys below it`)
  await rowIn(page, 'b/').click()
  await untilRows(page, ['a', 'b/', '1', '2', 'c/', 'many/'])
  await page.getByRole('button', { name: 'Count' }).click()
  await page.getByText(/^2 keys at revision/).waitFor()
  await rowIn(page, '2').click()
  await page.getByText('value of tree/b/2').waitFor()

  await page.getByLabel('Prefix').fill('tree')
  await page.getByLabel('Separator').fill(':')
  await untilRows(page, [...keys.slice(0, 4), 'tree/many/0'], 5)
  await page.getByLabel('Prefix').fill('tree:')
  await untilRows(page, ['x:'])
  await page.getByLabel('Prefix').fill('nothing here')
  await untilRows(page, ['No keys.'])
})

test('what is typed into the filter while the page goes to what was typed before is kept', async (t, {
  page,
  open,
}) => {
  await open('keys')
  const prefix = page.getByLabel('Prefix')
  await prefix.waitFor()
  await page.evaluate(`{
    const input = document.querySelector('.tree-head input')
    const replace = history.replaceState.bind(history)
    history.replaceState = (...to) => {
      replace(...to)
      history.replaceState = replace
      input.value = 'typed on'
      input.dispatchEvent(new InputEvent('input', { bubbles: true }))
    }
  }`)
  await prefix.fill('typed')
  await page.waitForURL(/prefix=typed\+on$/)
  t.equal(await prefix.inputValue(), 'typed on')
})

test('a new key that is begun while the filter is typed is not left for what was typed', async (t, { page, open }) => {
  await open('keys')
  await page.getByLabel('Prefix').waitFor()
  await page.evaluate(`{
    const input = document.querySelector('.tree-head input')
    input.value = 'filtered'
    input.dispatchEvent(new InputEvent('input', { bubbles: true }))
    location.hash = '#/keys?new=begun'
  }`)
  await page.waitForURL(/prefix=filtered/)
  t.equal(await page.getByLabel('Key', { exact: true }).inputValue(), 'begun')
})

test('many keys on one level come part by part, and do not pile up', async (t, { page, open }) => {
  await open(`keys?prefix=${named('tree/many/')}`)
  await rowIn(page, '0').waitFor()
  t.equal((await rowsOf(page)).length, 201)
  for (let part = 2; part <= 7; part++) {
    await rowIn(page, 'Show more').click()
    await eventually('another part', async () => ((await rowsOf(page)).length > Math.min(part, 5) * 200 ? true : null))
  }
  await rowIn(page, 'Back to the first').waitFor()
  t.equal((await rowsOf(page)).length, 1002, 'a thousand, and the ways on and back')
  await rowIn(page, 'Back to the first').click()
  await rowIn(page, '0').waitFor()
})

test('the tree is used with the keyboard alone', async (t, { page, node, open }) => {
  for (const key of ['board/a/1', 'board/a/2', 'board/b']) await putKey(node, key, `value of ${key}`)
  await open(`keys?prefix=${named('board/')}`)
  await untilRows(page, ['a/', 'b'])
  await page.getByRole('tree').focus()
  await press(page, 'Control+ArrowRight')
  t.same(await rowsOf(page), ['a/', 'b'], 'a shortcut of the browser is none of the tree')
  await press(page, 'ArrowRight')
  await untilRows(page, ['a/', '1', '2', 'b'])
  await press(page, 'ArrowRight', 'ArrowDown', 'Enter')
  await page.getByText('value of board/a/2').waitFor()
  await press(page, 'ArrowLeft', 'ArrowLeft')
  await untilRows(page, ['a/', 'b'])
  await press(page, 'End', ' ')
  await page.getByText('value of board/b').waitFor()
  const active = await page.getByRole('tree').getAttribute('aria-activedescendant')
  t.equal(await page.locator(`#${active ?? ''}`).textContent(), 'b')
})

test('a value is edited as JSON, and saved on one line as it was', async (t, { page, node, open }) => {
  await putKey(node, 'edit/json', '{"a":1,"big":12345678901234567890}')
  await open(`keys?key=${named('edit/json')}`)
  await page.getByText('"big": 12345678901234567890').waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  t.equal(await field.inputValue(), '{\n  "a": 1,\n  "big": 12345678901234567890\n}')
  await field.fill('{\n  "a": 2,\n  "big": 12345678901234567890,\n}')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByRole('alert').filter({ hasText: 'not valid JSON' }).waitFor()
  await field.fill('{\n  "a": 2,\n  "big": 12345678901234567890\n}')
  await field.press('Control+s')
  await page.getByText(/is saved, at revision/).waitFor()
  await page.locator('h2:focus').waitFor()
  t.equal(await textOf(node, 'edit/json'), '{"a":2,"big":12345678901234567890}')

  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('button', { name: 'Hex' }).click()
  await page.getByRole('textbox', { name: 'Value' }).fill('00 ff')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('00000000 00 ff').waitFor()
  t.same((await node.get('/kv/edit/json')).body, Buffer.from([0, 255]))
})

test('an edit that somebody else overtook shows both, and lets one decide', async (t, { page, node, open }) => {
  const key = 'edit/shared'
  await putKey(node, key, 'one\ntwo\n')
  await open(`keys?key=${named(key)}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  const save = page.getByRole('button', { name: 'Save' })
  await field.fill('one\nmine\n')
  await putKey(node, key, 'one\ntheirs\n')
  await page.getByText(/^It is at revision \d+ by now$/).waitFor()
  await save.click()
  await page.getByText('Not saved: somebody else was faster').waitFor()
  t.match(await page.locator('.difference-lines').innerText(), /theirs[^]*mine/)
  t.equal(await textOf(node, key), 'one\ntheirs\n', 'nothing is overwritten unasked')

  await putKey(node, key, 'one\ntheirs again\n')
  await page.getByRole('button', { name: 'Replace theirs with yours' }).click()
  await page.getByText('theirs again').waitFor()
  await page.getByRole('button', { name: 'Edit on' }).click()
  await field.fill('one\nours\n')
  await save.click()
  await page.getByText(/is saved, at revision/).waitFor()
  t.equal(await textOf(node, key), 'one\nours\n')

  await page.getByRole('button', { name: 'Edit' }).click()
  await field.fill('mine')
  await node.request('DELETE', `/kv?key=${named(key)}`)
  await save.click()
  await page.getByText(/somebody has deleted it/).waitFor()
  await page.getByRole('button', { name: 'Leave it deleted' }).click()
  await page.getByText('There is no such key').waitFor()
})

/** Holds writes of keys back until they are let go, to the node or to nowhere. */
async function holdWrites(page: Page): Promise<(fate: 'continue' | 'abort') => Promise<void>> {
  const held: Route[] = []
  await page.route(/\/kv\?/, async (route) => {
    if (route.request().method() === 'PUT') held.push(route)
    else await route.continue()
  })
  return async (fate) => {
    await eventually('a write is under way', () => (held.length > 0 ? true : null))
    for (const route of held.splice(0)) await route[fate]()
    await page.unrouteAll()
  }
}

test('what is merged after somebody else was faster is what replaces theirs', async (t, pages) => {
  const { dashboard, page, node, open } = pages
  const key = 'edit/merged'
  await putKey(node, key, 'one\ntwo\n')
  await open(`keys?key=${named(key)}`)
  const field = page.getByRole('textbox', { name: 'Value' })
  const lines = page.locator('.difference-lines')
  const overtaken = async (mine: string, theirs: string): Promise<void> => {
    await page.getByRole('button', { name: 'Edit' }).click()
    await field.fill(mine)
    await putKey(node, key, theirs)
    await page.getByRole('button', { name: 'Save' }).click()
    await lines.getByText(theirs.trim().split('\n').at(-1) ?? '').waitFor()
  }
  await overtaken('one\nmine\n', 'one\ntheirs\n')
  await field.fill('one\ntheirs, and mine\n')
  await lines.getByText('theirs, and mine').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('data-merged')
  await page.getByRole('button', { name: 'Replace theirs with yours' }).click()
  await page.getByText(/is saved, at revision/).waitFor()
  t.equal(await textOf(node, key), 'one\ntheirs, and mine\n')

  await overtaken('mine alone', 'one\nof theirs\n')
  await page.getByRole('button', { name: 'Take theirs' }).click()
  await page.locator('.value-text').getByText('of theirs').waitFor()
  t.equal(await textOf(node, key), 'one\nof theirs\n')
})

test('what is typed while a save is under way is kept, and saved next', async (t, { page, node, open }) => {
  for (const key of ['typed/a', 'typed/b']) await putKey(node, key, `value of ${key}`)
  await open(`keys?prefix=${named('typed/')}&key=${named('typed/a')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  const letGo = await holdWrites(page)
  await field.fill('saved')
  await page.getByRole('button', { name: 'Save' }).click()
  await field.fill('saved, and typed on')
  await letGo('continue')
  await page.getByText(/is saved, at revision/).waitFor()
  t.equal(await textOf(node, 'typed/a'), 'saved')
  t.equal(await field.inputValue(), 'saved, and typed on')
  await rowIn(page, 'b').click()
  await page.getByText('value of typed/b').waitFor()
  await rowIn(page, 'a').click()
  t.equal(await field.inputValue(), 'saved, and typed on', 'it is kept as an edit')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.locator('.value-text').getByText('saved, and typed on').waitFor()
  t.equal(await textOf(node, 'typed/a'), 'saved, and typed on')
})

test('a write that fails, or succeeds, after one has left is told, and leads nowhere', async (t, pages) => {
  const { dashboard, page, node, open } = pages
  for (const key of ['leaving/a', 'leaving/b']) await putKey(node, key, `value of ${key}`)
  await open(`keys?prefix=${named('leaving/')}&key=${named('leaving/a')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  await field.fill('lost on its way')
  let letGo = await holdWrites(page)
  await page.getByRole('button', { name: 'Save' }).click()
  await rowIn(page, 'b').click()
  await page.getByText('value of leaving/b').waitFor()
  await letGo('abort')
  await page
    .locator('.message.bad', { hasText: /leaving\/a.*The node does not answer\. Whether it has taken/ })
    .waitFor()

  const newKey = page.getByRole('link', { name: 'New key' })
  await newKey.click()
  await page.getByLabel('Key', { exact: true }).fill('leaving/new')
  await field.fill('half of it')
  await rowIn(page, 'b').click()
  await page.getByText('value of leaving/b').waitFor()
  await page.evaluate("location.hash = '#/keys?prefix=leaving%2F&new=other'")
  await page.getByText('“leaving/new” is not written yet').waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('data-begun')
  await page.getByRole('button', { name: 'Go on with it' }).click()
  t.equal(await page.getByLabel('Key', { exact: true }).inputValue(), 'leaving/new')
  t.equal(await field.inputValue(), 'half of it', 'what was typed for a new key is there again')
  letGo = await holdWrites(page)
  await page.getByRole('button', { name: 'Write' }).click()
  await rowIn(page, 'b').click()
  await page.getByText('value of leaving/b').waitFor()
  await letGo('continue')
  await page.getByText('“leaving/new” is written.').waitFor()
  await rowIn(page, 'new').waitFor()
  t.match(page.url(), /key=leaving%2Fb$/)
  t.equal(await textOf(node, 'leaving/new'), 'half of it')
  await newKey.click()
  t.equal(await field.inputValue(), '', 'what is written is no draft')
})

test('an edit that was left is there again', async (t, { page, node, open }) => {
  for (const key of ['left/a', 'left/b']) await putKey(node, key, `value of ${key}`)
  await open(`keys?prefix=${named('left/')}&key=${named('left/a')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByRole('textbox', { name: 'Value' }).fill('half of it')
  await rowIn(page, 'b').click()
  await page.getByText('value of left/b').waitFor()
  await rowIn(page, 'a').click()
  t.equal(await page.getByRole('textbox', { name: 'Value' }).inputValue(), 'half of it')
  await page.getByRole('button', { name: 'Cancel' }).click()
  await page.getByText('value of left/a').waitFor()
})

test('keys that no path carries are written, shown and deleted', async (t, { page, node, open }) => {
  const strange = ['..', '100%/a%2Fb', '😀/👨‍👩‍👧', '//a//', '?key=&b#c', ' ends ', 'k'.repeat(4096)]
  for (const key of strange) {
    await open(`keys?new=`)
    await page.getByLabel('Key', { exact: true }).fill(key)
    await page.getByRole('textbox', { name: 'Value' }).fill(`value ${key.length}`)
    await page.getByRole('button', { name: 'Write' }).click()
    await page.locator('.value-text').getByText(`value ${key.length}`).waitFor()
    t.equal(await textOf(node, key), `value ${key.length}`)
    await page.getByRole('button', { name: 'Delete' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click()
    await page.getByText('There is no such key').waitFor()
    t.equal((await node.get(`/kv?key=${named(key)}`)).status, 404)
  }
  await page.getByRole('button', { name: 'Write it' }).click()
  await page.getByLabel('Key', { exact: true }).fill('é'.repeat(2049))
  await page.getByText('It has 4098 bytes of UTF-8; at most 4096 are allowed.').waitFor()
})

test('a new key does not replace one that is there', async (t, { page, node, open }) => {
  await putKey(node, 'new/there', 'old')
  await open(`keys?new=${named('new/')}`)
  await page.getByLabel('Key', { exact: true }).fill('new/there')
  await page.getByRole('textbox', { name: 'Value' }).fill('new')
  await page.getByLabel('Time to live').fill('soon')
  await page.getByRole('button', { name: 'Write' }).click()
  await page.getByRole('alert').filter({ hasText: 'query/ttl' }).waitFor()
  await page.getByLabel('Time to live').fill('20m')
  await page.getByRole('button', { name: 'Write' }).click()
  await page.getByText('There is such a key already').waitFor()
  t.equal(await textOf(node, 'new/there'), 'old')
  await page.getByLabel('Key', { exact: true }).fill('new/other')
  await page.getByRole('button', { name: 'Write' }).click()
  await page.getByRole('link', { name: /^a lease of its own/ }).waitFor()
})

test('an edit leaves a key with its lease, or frees it', async (t, { page, node, open }) => {
  const lease = (await node.post('/leases', { ttlMs: 600_000 })).json<{ id: number }>().id
  const leaseOf = async (key: string): Promise<string | null> =>
    (await node.get(`/kv?key=${named(key)}`)).header('quorate-lease')
  const edit = async (key: string, value: string, isKept: boolean): Promise<void> => {
    await open(`keys?key=${named(key)}`)
    await page.getByRole('button', { name: 'Edit' }).click()
    await page.getByRole('textbox', { name: 'Value' }).fill(value)
    if (!isKept) await page.getByRole('checkbox').uncheck()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText(/is saved, at revision/).waitFor()
  }
  await putKey(node, 'leased/shared', 'a', `&lease=${lease}`)
  await putKey(node, 'leased/own', 'a', '&ttl=20m')
  const before = await leaseOf('leased/own')
  await edit('leased/shared', 'b', true)
  t.equal(await leaseOf('leased/shared'), String(lease))
  await edit('leased/own', 'b', true)
  const after = await leaseOf('leased/own')
  t.ok(after !== null && after !== before, 'its time begins again')
  await edit('leased/own', 'c', false)
  t.equal(await leaseOf('leased/own'), null)
})

test('a key that goes while it is edited is written anew with its time to live', async (t, pages) => {
  const { dashboard, page, node, open } = pages
  const leaseOf = async (key: string): Promise<string | null> =>
    (await node.get(`/kv?key=${named(key)}`)).header('quorate-lease')
  const lease = (await node.post('/leases', { ttlMs: 600_000 })).json<{ id: number }>().id
  await putKey(node, 'lived/own', 'a', '&ttl=20m')
  await putKey(node, 'lived/shared', 'a', `&lease=${lease}`)
  const goes = async (key: string, end: () => Promise<unknown>): Promise<void> => {
    await open(`keys?key=${named(key)}`)
    await page.getByRole('button', { name: 'Edit' }).click()
    await page.getByRole('textbox', { name: 'Value' }).fill('b')
    await end()
    await page.getByText('It was deleted meanwhile').waitFor()
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByRole('button', { name: 'Write yours anew' }).click()
  }
  await goes('lived/own', async () => await node.request('DELETE', `/kv?key=${named('lived/own')}`))
  await page.getByRole('link', { name: /^a lease of its own/ }).waitFor()
  t.ok(await leaseOf('lived/own'))

  await goes('lived/shared', async () => await node.request('DELETE', `/leases/${lease}`))
  await page.getByText(`Lease ${lease} has ended`).waitFor()
  t.same(await dashboard.blemishes(), [])
  await dashboard.shoot('data-lease-ended')
  t.equal((await node.get('/kv/lived/shared')).status, 404, 'it does not stay for ever unasked')
  await page.getByRole('checkbox').uncheck()
  await page.getByRole('button', { name: 'Write yours anew' }).click()
  await page.getByText(/is saved, at revision/).waitFor()
  t.equal(await leaseOf('lived/shared'), null)

  const dialog = page.getByRole('dialog')
  const restored = async (key: string, at: number, says: string): Promise<void> => {
    await open(`keys?key=${named(key)}&tab=history`)
    const restore = page.getByRole('button', { name: /^Restore revision/ })
    await restore.nth(at).click()
    await dialog.getByText(says).waitFor()
  }
  await restored('lived/own', 0, 'Its time to live, 20 min, begins again.')
  await node.request('DELETE', `/kv?key=${named('lived/own')}`)
  await restored('lived/own', 0, 'it is written without a lease, and stays until it is deleted')
})

test('a large binary value goes up and down as it is', async (t, { page, node, open }) => {
  const value = Buffer.from(Uint8Array.from({ length: 1024 * 1024 }, (_, at) => (at * 31 + (at >> 8)) & 0xff))
  const file = join(await temporaryDirectory(t), 'value.bin')
  await writeFile(file, value)
  await putKey(node, 'large/binary', 'small')
  await open(`keys?key=${named('large/binary')}`)
  await page.getByLabel('Upload: the file').setInputFiles(file)
  const dialog = page.getByRole('dialog')
  await dialog.getByText('value.bin, 1 MiB').waitFor()
  await dialog.getByRole('button', { name: 'Replace' }).click()
  await page.getByText('Bytes 0 to 8,191 of 1,048,576').waitFor()
  t.ok((await node.get('/kv/large/binary')).body.equals(value))
  await page.getByRole('button', { name: 'On', exact: true }).click()
  await page.getByText('Bytes 8,192 to 16,383').waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  await page.getByText('too large to be edited as hex').waitFor()
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name: 'Download' }).click(),
  ])
  t.equal(download.suggestedFilename(), 'binary')
  t.ok((await bytesIn(download)).equals(value))
})

test('a text of 1 MiB is shown in part, edited and saved whole', async (t, { page, node, open }) => {
  const line = 'a line of text that is neither short nor long, with a word or two of sense in it\n'
  const text = line.repeat(Math.floor((1024 * 1024 - 100) / line.length))
  await putKey(node, 'large/text', text)
  await open(`keys?key=${named('large/text')}`)
  await page.getByRole('button', { name: 'Show all' }).waitFor()
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  await field.focus()
  await press(page, 'Control+End')
  await page.keyboard.type('The end.')
  await field.press('Control+s')
  await page.getByText(/is saved, at revision/).waitFor()
  t.ok((await textOf(node, 'large/text')) === `${text}The end.`)
})

test('a value keeps its line ends, its mark of byte order and what it has of control characters', async (t, pages) => {
  const { page, node, open } = pages
  await putKey(node, 'exact/lines', '\u{feff}one\r\ntwo\r\n')
  await open(`keys?key=${named('exact/lines')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  await field.focus()
  await press(page, 'Control+End')
  await page.keyboard.type('three')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText(/is saved, at revision/).waitFor()
  t.same((await node.get('/kv/exact/lines')).body, Buffer.from('\u{feff}one\r\ntwo\r\nthree'))
  await putKey(node, 'exact/control', 'a\0b')
  await open(`keys?key=${named('exact/control')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  t.equal(await field.inputValue(), '61 00 62')
})

test('two versions of a key are compared, and an older one is restored', async (t, { page, node, open }) => {
  const key = 'past/config'
  await putKey(node, key, '{"name":"a","size":1}')
  await putKey(node, key, '{"name":"a","size":2}')
  await node.request('DELETE', `/kv?key=${named(key)}`)
  await putKey(node, key, '{"name":"b","size":2}')
  await open(`keys?key=${named(key)}&tab=history`)
  const lines = page.locator('.difference-lines')
  const rows = page.locator('.versions tbody tr')
  await eventually('four versions', async () => ((await rows.count()) === 4 ? true : null))
  t.match(await rows.nth(1).innerText(), 'deleted')
  await page.getByText('+ revision').waitFor()
  t.notMatch(await lines.innerText(), '−', 'it was absent before')
  await rows.nth(2).getByRole('radio').first().check()
  await lines.getByText('"name": "b"').waitFor()
  t.match(await lines.innerText(), /"name": "a"[^]*"name": "b"/)
  t.equal(await lines.locator('mark').allInnerTexts().then(String), 'a,b')
  await rows.nth(3).getByRole('button', { name: 'Restore' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('nothing of its history is lost').waitFor()
  await dialog.getByRole('button', { name: 'Restore' }).click()
  await page.getByText(/is restored, at revision/).waitFor()
  t.equal(await textOf(node, key), '{"name":"a","size":1}')
  await eventually('five versions', async () => ((await rows.count()) === 5 ? true : null))
  await node.request('DELETE', `/kv?key=${named(key)}`)
  await eventually('six versions', async () => ((await rows.count()) === 6 ? true : null))
  await rows.nth(2).getByRole('button', { name: 'Restore' }).click()
  await dialog.getByRole('button', { name: 'Restore' }).click()
  await eventually('restored', async () => ((await textOf(node, key)) === '{"name":"b","size":2}' ? true : null))
})

test('what is asked of a key is asked of the version that was shown', async (t, { dashboard, page, node, open }) => {
  const dialog = page.getByRole('dialog')
  const overtake = async (key: string, action: string): Promise<void> => {
    const submit = dialog.getByRole('button', { name: action, exact: true })
    await submit.and(page.locator(':enabled')).waitFor()
    await putKey(node, key, 'of somebody else')
    const revision = await revisionOf(node, key)
    await dialog.getByText(`The key is at revision ${revision}.`).waitFor()
    t.ok(await submit.isDisabled(), action)
    t.same(await dashboard.blemishes(), [])
    await dashboard.shoot(`overtaken-${action.toLowerCase()}`)
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'detached' })
    t.equal(await textOf(node, key), 'of somebody else')
  }
  await putKey(node, 'asked/a', 'older')
  await putKey(node, 'asked/a', 'first')
  await open(`keys?key=${named('asked/a')}`)
  await page.getByRole('button', { name: 'Delete' }).click()
  await overtake('asked/a', 'Delete')

  const file = join(await temporaryDirectory(t), 'value')
  await writeFile(file, 'of the file')
  const chooser = page.waitForEvent('filechooser')
  await page.getByText('Upload').click()
  await (await chooser).setFiles(file)
  await overtake('asked/a', 'Replace')

  await open(`keys?key=${named('asked/a')}&tab=history`)
  await page
    .getByRole('button', { name: /^Restore revision/ })
    .last()
    .click()
  await overtake('asked/a', 'Restore')

  await open(`keys?key=${named('asked/a')}`)
  await page.getByRole('button', { name: 'Delete' }).click()
  t.equal((await node.request('DELETE', `/kv?key=${named('asked/a')}`)).status, 200)
  await dialog.getByText('The key was deleted.').waitFor()
})

test('a value that cannot be read again is shown as of when it was read', async (t, { page, node, open }) => {
  await putKey(node, 'outdated/a', 'what was read')
  await open(`keys?key=${named('outdated/a')}`)
  await page.getByText('what was read').waitFor()
  await page.route(/\/kv\?.*key=/, async (route) => {
    const detail = 'no leader is known'
    const problem = { title: 'No leader', status: 503, detail, code: 'no-leader', retryable: true, ambiguous: false }
    await route.fulfill({ status: 503, contentType: 'application/problem+json', json: problem })
  })
  const notice = page.locator('.notice', { hasText: /As of \d/ })
  await notice.waitFor()
  t.match(await notice.innerText(), /no-leader\s+It could not be read since then: no leader is known\./)
  t.ok(await page.getByText('what was read').isVisible())
  await page.unrouteAll()
  await notice.waitFor({ state: 'detached' })
  const stalled: Route[] = []
  await page.route(/\/kv\?.*key=/, (route) => void stalled.push(route))
  await notice.filter({ hasText: 'It could not be read since then: there was no answer within 10 s.' }).waitFor()
  t.ok(await page.getByText('what was read').isVisible())
  for (const route of stalled) await route.abort()
})

test('a branch leads to a new key in it, whose value a file may have, and to itself alone', async (t, pages) => {
  const { page, node, open } = pages
  for (const key of ['branch/a/1', 'branch/b']) await putKey(node, key, 'x')
  await open(`keys?prefix=${named('branch/')}`)
  await rowIn(page, 'a/').click()
  await page.getByRole('link', { name: 'New key here' }).click()
  const name = page.getByLabel('Key', { exact: true })
  t.equal(await name.inputValue(), 'branch/a/')
  await name.fill('branch/a/file')
  await page.getByRole('textbox', { name: 'Value' }).fill('typed before')
  const file = { name: 'v.bin', mimeType: 'application/octet-stream', buffer: Buffer.from([0, 255]) }
  await page.getByLabel('Take the value from a file: the file').setInputFiles(file)
  await page.getByText('The contents of v.bin, 2 B.').waitFor()
  await page.getByRole('button', { name: 'Type a value' }).click()
  t.equal(await page.getByRole('textbox', { name: 'Value' }).inputValue(), 'typed before')
  await page.getByLabel('Take the value from a file: the file').setInputFiles(file)
  await page.getByRole('button', { name: 'Write' }).click()
  await page.getByText('00000000 00 ff').waitFor()
  t.same((await node.get('/kv/branch/a/file')).body, Buffer.from([0, 255]))
  await open(`keys?branch=${named('branch/a/')}`)
  await page.getByRole('link', { name: 'Show only these' }).click()
  await untilRows(page, ['1', 'file'])
})

test('what was seen of a cluster says nothing of another at its address', async (t, { page, node, open }) => {
  await putKey(node, 'whose/a', 'the value')
  await open(`keys?key=${named('whose/a')}`)
  await page.getByRole('button', { name: 'Edit' }).click()
  const field = page.getByRole('textbox', { name: 'Value' })
  await field.fill('meant for the one before')
  let clusterId = 'another'
  await page.route('**/cluster', async (route) => {
    const response = await route.fetch()
    await route.fulfill({ response, json: { ...((await response.json()) as object), clusterId } })
  })
  const message = page.getByText('Another cluster answers at this address now.')
  await message.waitFor()
  await page.locator('.value-text').getByText('the value').waitFor()
  t.equal(await field.count(), 0, 'the edit is gone')
  await page.getByRole('button', { name: 'Dismiss' }).click()
  await page.getByRole('button', { name: 'Delete' }).click()
  await page.getByRole('dialog').waitFor()
  clusterId = 'a third'
  await message.waitFor()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  const { id } = (await node.post('/leases', { ttlMs: 900_000 })).json<{ id: number }>()
  await page.evaluate(`location.hash = '#/leases?lease=${id}'`)
  for (let times = 0; times < 6; times++) await page.getByRole('button', { name: 'Keep alive' }).click()
  t.ok(await message.isVisible(), 'what has to be dismissed stays, however much succeeds')
  await page.unrouteAll({ behavior: 'ignoreErrors' })
})

test('without a leader, keys are read as this node has them', async (_t, { page, node, open }, cluster) => {
  await putKey(node, 'own/a', 'the value')
  for (const id of [1, 3]) await cluster.node(id).kill()
  await open(`keys?prefix=${named('own/')}`)
  await page.getByText('No leader').first().waitFor()
  // A button within the tree takes the key that is meant for it.
  await page.getByRole('button', { name: 'Read what this node has' }).first().press('Enter')
  await rowIn(page, 'a').click()
  await page.getByText('the value').waitFor()
  await page.getByText('Keys are shown as this node has them').waitFor()
  for (const id of [1, 3]) await cluster.node(id).start()
  await cluster.untilReady()
  await page.getByRole('button', { name: 'Read from the cluster' }).click()
  await page.getByText('Keys are shown as this node has them').waitFor({ state: 'detached' })
  await page.getByText('the value').waitFor()
})

test(
  'on a telephone, a key takes the place of the tree, and gives it back',
  async (t, { page, node, open }) => {
    await putKey(node, 'phone/config', 'the value')
    await open(`keys?prefix=${named('phone/')}`)
    await rowIn(page, 'config').click()
    await page.getByText('the value').waitFor()
    t.notOk(await page.getByRole('tree').isVisible())
    await page.locator('h2:focus').waitFor()
    await page.getByRole('link', { name: 'All keys' }).click()
    await rowIn(page, 'config').waitFor()
  },
  { phone: true },
)
