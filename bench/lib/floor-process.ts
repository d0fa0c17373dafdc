import Fastify from 'fastify'

/** The floor: the same requests to a plain Fastify handler that stores them in a Map, without Raft and without a disk. */
const values = new Map<string, Buffer>()
const app = Fastify()
app.removeAllContentTypeParsers()
app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
app.put('/kv/*', (request, reply) => {
  values.set((request.params as Record<string, string>)['*'] ?? '', request.body as Buffer)
  void reply.send({ revision: values.size })
})
await app.listen({ port: Number(process.argv[2]), host: '127.0.0.1' })
process.on('disconnect', () => process.exit(1))
process.send?.('ready')
