import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Browser, BrowserContext, Page, Request } from 'playwright-core'
import { eventually, patienceMs } from '../../e2e/support/eventually.ts'
import type { Owner } from '../../support/temporary-directory.ts'
import { barriersOf } from './axe.ts'
import { findFaintText } from './contrast.ts'
import { isBlank } from './picture.ts'

export interface DashboardOptions {
  readonly scheme?: 'light' | 'dark'
  /** 360 pixels wide. */
  readonly phone?: boolean
  /** In pixels, instead of what `phone` says. */
  readonly size?: { readonly width: number; readonly height: number }
}

/** As whom every page is looked at. */
const variants: readonly DashboardOptions[] = [
  { scheme: 'light' },
  { scheme: 'dark' },
  { scheme: 'light', phone: true },
  { scheme: 'dark', phone: true },
]

/** Where pictures are put; unset: they are looked at, and nothing is kept. */
const SHOTS = process.env['QUORATE_UI_SCREENSHOTS']
/** The pictures that have been taken, as `pictureOf` names them. */
const taken = new Set<string>()

const pictureOf = (page: string, { phone, scheme = 'light' }: DashboardOptions): string =>
  `${page}-${phone === true ? 'phone-' : ''}${scheme}`

function sizeOf({ size, phone = false }: DashboardOptions): { readonly width: number; readonly height: number } {
  return size ?? (phone ? { width: 360, height: 740 } : { width: 1280, height: 900 })
}

/** The pictures of `pages` that have not been taken, of each page one in every variant. */
export function picturesMissing(pages: readonly string[]): string[] {
  const wanted = pages.flatMap((page) => variants.map((options) => pictureOf(page, options)))
  return wanted.filter((name) => !taken.has(name))
}

/** The dashboard of one node, in a browser that notes what it asks of whom. */
export class Dashboard {
  readonly page: Page
  /** Requests to anybody but the node. */
  readonly strays: string[] = []
  /** What the page complained of: exceptions, and errors on the console other than failed requests. */
  readonly complaints: string[] = []
  /** The largest number of requests to the API that were under way at once, streams left out. */
  inProgressMax = 0
  /** Requests to the API so far. */
  asked = 0
  private readonly origin: string
  private readonly options: DashboardOptions
  private readonly open = new Set<Request>()

  private constructor(context: BrowserContext, page: Page, origin: string, options: DashboardOptions) {
    this.page = page
    this.origin = origin
    this.options = options
    page.setDefaultTimeout(patienceMs)
    context.on('request', (request) => this.onRequest(request))
    context.on('requestfinished', (request) => void this.open.delete(request))
    context.on('requestfailed', (request) => void this.open.delete(request))
    page.on('pageerror', (error) => void this.complaints.push(error.message))
    page.on('console', (message) => {
      const isFailedRequest = message.text().startsWith('Failed to load resource')
      if (message.type() === 'error' && !isFailedRequest) this.complaints.push(message.text())
    })
  }

  static async open(
    owner: Owner,
    browser: Browser,
    origin: string,
    options: DashboardOptions = {},
  ): Promise<Dashboard> {
    const context = await browser.newContext({
      viewport: sizeOf(options),
      colorScheme: options.scheme ?? 'light',
      acceptDownloads: true,
    })
    owner.teardown(async () => await context.close())
    const dashboard = new Dashboard(context, await context.newPage(), origin, options)
    await dashboard.page.goto(`${origin}/ui/`)
    return dashboard
  }

  /** Goes to a page by the navigation, as a person does. */
  async goTo(name: string): Promise<void> {
    await this.page.getByRole('navigation').getByRole('link', { name, exact: true }).press('Enter')
    await this.page.getByRole('heading', { level: 1, name, exact: true }).waitFor()
  }

  /** What of the page is wrong for anybody's eyes: it is wider than the screen, or has text that is hard to read. */
  async blemishes(): Promise<string[]> {
    const [content = 0, screen = 0] = await this.page.evaluate<number[]>(
      '[document.documentElement.scrollWidth, innerWidth]',
    )
    const wide = content > screen ? [`the page is ${content} pixels wide on a screen of ${screen}`] : []
    return [...wide, ...(await this.page.evaluate<string[]>(findFaintText))]
  }

  /**
   * Looks at the page in every variant, takes a picture of each as `page`, and gives what is wrong: for anybody's eyes, and for those who read or
   * use it otherwise.
   */
  async look(page: string): Promise<string[]> {
    const found: string[] = []
    for (const options of variants) {
      await this.turnTo(options)
      const barriers = options.phone === true ? [] : await barriersOf(this.page)
      const name = pictureOf(page, options)
      found.push(...[...(await this.blemishes()), ...barriers].map((what) => `${name}: ${what}`))
      await this.shoot(page, options)
    }
    await this.turnTo(this.options)
    return found
  }

  /** Shows the page as one of the variants has it. */
  private async turnTo(options: DashboardOptions): Promise<void> {
    const { width, height } = sizeOf(options)
    await this.page.setViewportSize({ width, height })
    await this.page.emulateMedia({ colorScheme: options.scheme ?? 'light' })
    // What follows the width is drawn anew, in the frame after the one that tells it.
    await this.page.evaluate(
      `new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => requestAnimationFrame(resolve))))`,
    )
  }

  /** Takes a picture of the page, as tall as the page is. */
  async shoot(page: string, options: DashboardOptions = this.options): Promise<void> {
    const name = pictureOf(page, options)
    const picture = await this.picture({ fullPage: true })
    taken.add(name)
    if (SHOTS === undefined) return
    await mkdir(SHOTS, { recursive: true })
    await writeFile(join(SHOTS, `${name}.png`), picture)
  }

  /** A PNG of the page, as tall as the page or as the window. Rejects when nothing is on it. */
  async picture({ fullPage }: { readonly fullPage: boolean }): Promise<Uint8Array> {
    const picture = await this.page.screenshot({ fullPage })
    if (isBlank(picture)) throw new Error(`there is nothing to see at ${this.page.url()}`)
    return picture
  }

  private onRequest(request: Request): void {
    const url = new URL(request.url())
    if (url.protocol === 'blob:') return
    if (url.origin !== this.origin) return void this.strays.push(request.url())
    if (url.pathname.startsWith('/ui/') || url.pathname === '/watch') return
    this.asked += 1
    this.open.add(request)
    this.inProgressMax = Math.max(this.inProgressMax, this.open.size)
  }
}

/** Waits until what was confirmed is done. Throws what the dialog says when it is refused. */
export async function untilClosed({ page }: Dashboard): Promise<void> {
  const dialog = page.getByRole('dialog')
  await eventually('the dialog closes', async () => {
    if ((await dialog.count()) === 0) return true
    const alert = dialog.getByRole('alert')
    throw new Error((await alert.count()) === 0 ? 'it is open' : await alert.innerText())
  })
}
