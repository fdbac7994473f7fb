// Classifies texts with an ONNX export in Node; wants `npm install onnxruntime-node`.
//     node export/javascript/predict.mjs runs/reviews/export_onnx/1 "a fine film"
// Without texts it reads lines from standard input. It prints label, probability and text.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { makeEncoder } from "./encoder.mjs";

// By the folder it is run in, where npm has put the package.
const ort = createRequire(join(process.cwd(), "any.js"))("onnxruntime-node");
const [folder, ...given] = process.argv.slice(2);
const read = (name) => readFileSync(join(folder, name));
const settings = JSON.parse(read("model.json"));
const labels = read("labels.txt").toString().replace(/\n$/, "").split("\n");
const ngrams = existsSync(join(folder, "ngrams.bin")) ? read("ngrams.bin") : undefined;
const encode = makeEncoder(settings, read("vocabulary.txt"), ngrams);
const session = await ort.InferenceSession.create(join(folder, "model.onnx"));

const texts = given.length ? given : readFileSync(0).toString().replace(/\n$/, "").split("\n");
for (let start = 0; start < texts.length; start += 32) {
  const batch = texts.slice(start, start + 32);
  const inputs = Object.entries(encode(batch)).map(([name, { data, dims }]) => {
    return [name, new ort.Tensor("int32", data, dims)];
  });
  const { probability, accepted } = await session.run(Object.fromEntries(inputs));
  batch.forEach((text, i) => {
    const [from, to] = [i * labels.length, (i + 1) * labels.length];
    const named = labels.filter((_, label) => accepted.data[from + label]).join("|") || "?";
    const surest = Math.max(...probability.data.subarray(from, to));
    const shown = text.replace(/\s/g, " ").replace(/\p{Cc}|\p{Bidi_Control}/gu, "\ufffd");
    console.log([named, surest.toFixed(4), shown].join("\t"));
  });
}
