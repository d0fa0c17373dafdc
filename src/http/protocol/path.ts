/** The path of a request without its query. */
export function pathOf(url: string): string {
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/** What stands before the path of a target in absolute form (RFC 9112, 3.2.2). */
const ORIGIN = /^https?:\/\/[^/?#]*/i

/** The path and the query of a target, in whichever form a client has sent it. */
export function originFormOf(target: string): string {
  if (target.startsWith('/')) return target
  const rest = target.replace(ORIGIN, '')
  return rest === '' || rest.startsWith('?') ? `/${rest}` : rest
}
