/** Where the API of the node begins. The page stands below it: `/ui/`, or a longer path behind a proxy. */
export const root = new URL('..', document.baseURI)
