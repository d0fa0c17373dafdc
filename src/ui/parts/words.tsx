/** Text in which `commands` stand between backticks, as they do in documents. */
export function Words({ text }: { readonly text: string }) {
  const parts = text.split('`')
  // An odd number of backticks is no pair.
  if (parts.length % 2 === 0) return <>{text}</>
  return <>{parts.map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part))}</>
}
