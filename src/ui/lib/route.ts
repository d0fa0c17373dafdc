import { Store, useStore } from './store.ts'

/** What the address of the page names: `#/keys/app?prefix=a` is page `keys`, with the rest `['app']`. */
export interface Route {
  readonly page: string
  /** Parts of the path after the page, decoded. */
  readonly rest: readonly string[]
  readonly query: URLSearchParams
}

/** Reads what stands behind `#`. A part that is not percent-encoded UTF-8 is taken as it stands. */
function routeFrom(hash: string): Route {
  const text = hash.replace(/^#?\/?/, '')
  const [path, query] = splitOnce(text, '?')
  const [page = '', ...rest] = path.split('/').map(decoded)
  return { page, rest, query: new URLSearchParams(query) }
}

/** The address of a page, for a link. */
export function hrefOf(
  page: string,
  rest: readonly string[] = [],
  query: Readonly<Record<string, string | undefined>> = {},
): string {
  const given = Object.entries(query).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))
  const words = new URLSearchParams(given).toString()
  const path = [page, ...rest].map(encodeURIComponent).join('/')
  return `#/${path}${words === '' ? '' : `?${words}`}`
}

const current = new Store<Route>(routeFrom(location.hash))
addEventListener('hashchange', () => current.set(routeFrom(location.hash)))

export function useRoute(): Route {
  return useStore(current)
}

export function goTo(href: string): void {
  location.hash = href
}

/** Changes the address without a new entry in the history of the browser. */
export function replaceRoute(href: string): void {
  history.replaceState(null, '', href)
  current.set(routeFrom(location.hash))
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)]
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
