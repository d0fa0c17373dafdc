import type { Browser, Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { patientElections, TestCluster } from '../../e2e/support/cluster.ts'
import type { RestClient } from '../../e2e/support/rest-client.ts'
import { openBrowser, withoutBrowser } from '../../support/browser.ts'
import { Dashboard, type DashboardOptions } from './dashboard.ts'

export const named = encodeURIComponent

/** The dashboard of node 2. */
interface Pages {
  readonly dashboard: Dashboard
  readonly page: Page
  readonly node: RestClient
  /** Goes to `#/...`, anew. */
  readonly open: (hash: string) => Promise<void>
}

async function openPages(t: Test, browser: Browser, cluster: TestCluster, options: DashboardOptions): Promise<Pages> {
  const { client, addresses } = cluster.node(2)
  const dashboard = await Dashboard.open(t, browser, addresses.api, options)
  const { page } = dashboard
  const open = async (hash: string): Promise<void> => {
    await page.goto('about:blank')
    await page.goto(`${addresses.api}/ui/#/${hash}`)
  }
  return { dashboard, page, node: client, open }
}

type Body = (t: Test, pages: Pages, cluster: TestCluster) => Promise<void>
type PageTest = (name: string, body: Body, options?: DashboardOptions) => void

/**
 * One cluster and one browser for a whole file: each of its tests has keys of its own. Gives what runs `body` with a page, where there is a
 * browser. No request may leave the node, and no script may fail.
 */
export async function testsOfPages(): Promise<PageTest> {
  const browser = await openBrowser(t)
  const cluster = browser === null ? null : await TestCluster.formed(t, { size: 3, flags: patientElections })
  return (name, body, options = {}) => {
    void t.test(name, async (t) => {
      if (browser === null || cluster === null) return withoutBrowser(t)
      const pages = await openPages(t, browser, cluster, options)
      await body(t, pages, cluster)
      t.same(pages.dashboard.strays, [], 'no request leaves the node')
      t.same(pages.dashboard.complaints, [], 'no script fails')
    })
  }
}

export async function textOf(node: RestClient, key: string): Promise<string> {
  return (await node.get(`/kv?key=${named(key)}`)).text
}

export async function putKey(node: RestClient, key: string, value: string | Uint8Array, query = ''): Promise<void> {
  const answer = await node.request('PUT', `/kv?key=${named(key)}${query}`, { body: value })
  if (answer.status !== 200) throw new Error(answer.summary)
}

export async function revisionOf(node: RestClient, key: string): Promise<string> {
  return (await node.request('HEAD', `/kv?key=${named(key)}`)).header('quorate-mod-revision') ?? ''
}
