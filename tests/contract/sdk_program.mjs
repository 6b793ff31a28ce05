// The main path through the official SDK for Node: run with the address and the key.
import OpenAI, { toFile } from "openai";
import assert from "node:assert/strict";

const [address, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: address, apiKey: key });

const store = await client.vectorStores.create({ name: "Node" });
const files = [
  await toFile(Buffer.from("# Tea\n\nGreen tea is steamed in Japan."), "tea.md"),
  await toFile(Buffer.from("The schooner left at dawn with nine sailors."), "ships.txt"),
];
const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files });
assert.equal(batch.status, "completed");
assert.equal(batch.file_counts.completed, 2);
const found = await client.vectorStores.search(store.id, { query: "where is tea steamed" });
assert.equal(found.data[0].filename, "tea.md");
const listed = [];
for await (const file of client.vectorStores.files.list(store.id, { limit: 1 })) listed.push(file.id);
assert.equal(listed.length, 2);
const changed = await client.vectorStores.files.update(listed[0], {
  vector_store_id: store.id,
  attributes: { n: 1, yes: true },
});
assert.deepEqual(changed.attributes, { n: 1, yes: true });
const vectors = await client.embeddings.create({ model: "text-embedding-3-small", input: "one" });
assert.ok(vectors.data[0].embedding.length > 0);
await client.vectorStores.delete(store.id);
await assert.rejects(client.vectorStores.retrieve(store.id), (error) => error.status === 404);
console.log("done with node");
