// What a composition of an unpacked bundle says about texts, as logits.
//
//   composer bundle unpack home.zip --to home
//   npm install
//   node predict.mjs home intent '[{"ids": [101, 2735, 2006, 102]}]'
//
// The texts are token ids, as `tokenizer.json` gives them with its special tokens; `types`, 0
// and 1, may stand beside `ids` for a pair. Printed: for each text rows of logits, one row, or
// one a token where the composition predicts spans.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";

// A safetensors file: 8 bytes with the length of the header, the header as JSON, the numbers.
function readTensors(path) {
  const file = readFileSync(path);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString());
  const start = file.byteOffset + 8 + length;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(header)) {
    if (dtype !== "F32") throw new Error(`${path}: ${name} is ${dtype}, not F32`);
    const numbers = new Float32Array(file.buffer.slice(start + from, start + to));
    tensors[name] = new Tensor("float32", numbers, shape);
  }
  return tensors;
}

// One text at a time, so nothing is padded and every token counts.
function tokenInputs({ ids, types = ids.map(() => 0) }) {
  const whole = (numbers) => new Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, ids.length]);
  return { input_ids: whole(ids), attention_mask: whole(ids.map(() => 1)), token_type_ids: whole(types) };
}

// Which tokens make up each row of logits: all in equal shares, the first, or each its own.
function poolingInput(pooling, tokens) {
  const rows = pooling === "token" ? tokens : 1;
  const shares = new Float32Array(rows * tokens);
  if (pooling === "mean") shares.fill(1 / tokens);
  else for (let row = 0; row < rows; row++) shares[row * tokens + row] = 1;
  return new Tensor("float32", shares, [1, rows, tokens]);
}

const [folder, name, texts] = process.argv.slice(2);
const about = JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));
const session = await InferenceSession.create(join(folder, about.graph));
const adapter = readTensors(join(folder, `${name}.safetensors`)); // another one: a swap

const answers = [];
for (const text of JSON.parse(texts)) {
  const tokens = tokenInputs(text);
  if (!session.inputNames.includes("token_type_ids")) delete tokens.token_type_ids;
  const feeds = { ...tokens, ...adapter, pooling: poolingInput(about.pooling, text.ids.length) };
  const { logits } = await session.run(feeds);
  const [, rows, classes] = logits.dims;
  answers.push(Array.from({ length: rows }, (_, row) => [...logits.data.slice(row * classes, (row + 1) * classes)]));
}
console.log(JSON.stringify(answers));
