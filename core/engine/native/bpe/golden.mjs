// Writes testdata/golden.json: what Hugging Face's tokenizers library makes of
// tricky texts with the tokenizer in testdata/tokenizer, and of the same
// vocabulary with GPT-2's pre-tokenizer. Run it in this folder after
// "go test -run TestTrainIsStable -update ." with
//
//	npm install --no-save @huggingface/tokenizers@0.2.0
//	node golden.mjs
//
// and remove node_modules afterwards. The texts hold no special tokens: there
// the two differ on purpose (see the package comment).
import { readFileSync, writeFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

const read = (name) => readFileSync(`testdata/${name}`, "utf8");
const config = JSON.parse(read("tokenizer/tokenizer_config.json"));
const json = JSON.parse(read("tokenizer/tokenizer.json"));
const gpt2 = structuredClone(json);
gpt2.pre_tokenizer = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };

const texts = [
  "", " ", "  ", "\n", "\r\n", "\t", "a", " a", "a ", " a ", "  a", "a  ", "a  b", "a   b", "a \n b", "a\n\nb", "a\r\nb\r\n",
  "a\tb", "a\t b", "\t\tif x:\n\t\t\treturn", "    indented\n        more", "line\n   \n   next", "trailing spaces   \n", "x\n \n\n  y",
  "\u00a0", "a\u00a0b", "a \u00a0 b", "\u3000全角", "a\u2003b", "\u2028x\u2029", "\u1680x", "a\u205fb", "\u200b zero \u200d width \ufeff mark",
  "\u0000", "a\u0000b", "\u0007\u001b[31mred\u001b[0m", "\u007f\u0080\u0085\u009f", "a\u0085b", "\u00ad soft", "\ufffd", "\uffff \ufdd0",
  "don't", "Don't worry, it's John's.", "we'll they'd I've you're I'm", "DON'T IT'S", "'quoted'", "\"double\"", " 'a' ", "' '", "rock 'n' roll", "l’été", "’", " ’x", "''s", "s'", "o''clock",
  "0", "7 ", " 7", "12", "123", "1234", "12345", "1234567", " 1234567", "3.14159", "1,234,567.89", "-5", "+5", "1e-05", "0x1F", "٣٤٥٦٧", "²³½Ⅷ", "১২৩৪", "𝟘𝟙𝟚𝟛",
  "AH0", "AH01", "W ER1 L D", "HH AH0 L OW1", " AH0 L", "a1b2c3", "abc123", "v2", "v2.0", "x1 y2", "covid19", "B12", "é1", "é12", "日1本2", "a²", "a²³",
  "###", "### ", "### Instruction:", "### Instruction:\n", "\n### Instruction:\n", "\n\n### Input:\n", "\n\n\n\n### Response:\n", " ### Input:\n", "### Input:\r\n", "### Other:\n", "#### Input:\n", "x### Input:\n", "!### Input:\n", "\n \n### Input:\n", "\n\n###", "\n\n## Title\n", "### Input:\n### Input:\n", "### Response:\n\n\nText", "### response:\n", "###  Input:\n",
  "### Instruction:\nSpell the word.\n\n### Input:\ntrain\n\n### Response:\nT R EY1 N",
  "### Instruction:\nSay hello.\n\n### Response:\nHello, world!",
  "### Instruction:\n\n\n### Input:\n\n\n### Response:\n",
  "Hello, world!", "Hello,world!!!", "... ---- ====", "a--b", "a-b", "e.g. i.e.", "(a) [b] {c}", "$4.20 (+20%)", "C++ C# F#", "user@example.org", "https://example.org/a?b=c&d=é#x", "snake_case camelCase __init__", "`code`", "a*b**c", "<p class=\"x\">y</p>", "\\n \\\\ \\", "x = y;  // note", "!?!?", "€100 £5 ¥", "§ 5 ¶", "½ cup", "→ ← ↔", "™ © ®",
  "Straße", "Größe über Öl", "naïve café", "cafe\u0301", "e\u0301\u0302\u0303", "\u0301x", " \u0301x", "'\u0301", "Ångström", "ﬁ ligature", "İstanbul ı", "ẞß", "Đorđe Þór Łódź", "ñandú ¿qué? ¡sí!", "ǅ ǈ", "ªº",
  "Поезд ушёл рано утром.", "Το τρένο έφυγε", "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "مَرْحَبًا", "नमस्ते दुनिया", "गाड़ी सुबह", "ไทยไม่มีเว้นวรรค", "ភាសាខ្មែរ", "မြန်မာ", "አማርኛ", "ქართული", "Հայերեն", "ᏣᎳᎩ", "ᠮᠣᠩᠭᠣᠯ",
  "火车早上离开了车站。", "今天天气很好，我们去湖边。", "電車は朝早く駅を出ました。", "カタカナ ひらがな", "ｆｕｌｌｗｉｄｔｈ１２３４", "기차는 아침", "각", "한글 자모 ㄱㄴㄷ", "𠮷野家", "㈱ ㍿ ①②③", "〇一二三", "々ー〜",
  "😀", "😀😀", "a😀b", " 😀 ", "👍🏽", "👩‍🚀", "👨‍👩‍👧‍👦", "🇫🇮🇸🇪", "☀️ 24 °C", "❤️", "1️⃣2️⃣", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🤷🏻‍♀️ ok",
  "𝒽𝑒𝓁𝓁𝑜", "Z̵̢͝a̷l̶g̸o", "\u202eright to left\u202c", "\u{10ffff}\u{e0001}", "\ue000 private", "𐍈𐌰", "🜁 alchemy", "♔♕", "∀x∈ℝ: ⌈x⌉ ≥ x", "x₁ + x₂ = √2", "½⅓¼",
  "the ".repeat(50), " ".repeat(100), "\n".repeat(60), "\t ".repeat(40), "a".repeat(300), "ab".repeat(200), "=".repeat(200), "1".repeat(100), "日".repeat(60), "😀".repeat(40), "é".repeat(100), " a".repeat(60), "'".repeat(30), " '".repeat(20), "#".repeat(50), "\n#".repeat(30), "\r\n".repeat(20),
  ...read("corpus.txt").split("\n"),
];

// Texts put together from fragments that meet in awkward ways. The generator
// is fixed, so that the file is the same each time.
const fragments = [
  " ", "  ", "\n", "\n\n", "\r\n", "\t", "\u00a0", "\u3000", "'", "’", "'s", "a", "the", "The", "train", "é", "\u0301", "ß", "日", "の", "한", "и", "α", "न", "ि", "0", "1", "23", "456", "٣", "²",
  "#", "###", "### ", "### Input:\n", "### Response:\n", ".", ",", "...", "-", "_", "(", ")", "\"", "<", "/", ">", "\\", "😀", "🏽", "\u200d", "\u0000", "\u001b", "AH0", "EY1",
];
let state = 20240229;
const random = (n) => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return Math.floor((state / 2 ** 32) * n);
};
for (let i = 0; i < 250; i++) {
  let text = "";
  for (let n = 1 + random(12); n > 0; n--) text += fragments[random(fragments.length)];
  texts.push(text);
}

// GPT-2's pattern says \s, and the library runs it in an engine whose \s has
// U+FEFF and lacks U+0085, unlike Oniguruma's: such texts prove nothing.
const portable = (text) => !/[\u0085\ufeff]/.test(text);

const encodings = (tokenizer, list) => {
  const t = new Tokenizer(tokenizer, config);
  return list.map((text) => ({ text, ids: t.encode(text, { add_special_tokens: false }).ids }));
};

// Sequences of any tokens at all, most of them cutting characters apart.
const decoder = new Tokenizer(json, config);
const decodings = [];
const size = Object.keys(json.model.vocab).length;
for (let i = 0; i < 150; i++) {
  const ids = [];
  for (let n = 1 + random(10); n > 0; n--) ids.push(random(3) ? 2 + random(size - 2) : 2 + 94 + random(256 - 94));
  decodings.push({ ids, text: decoder.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false }) });
}

const lines = (list) => "[\n" + list.map((item) => JSON.stringify(item)).join(",\n") + "\n]";
writeFileSync(
  "testdata/golden.json",
  `{"default": ${lines(encodings(json, texts))},\n"gpt2": ${lines(encodings(gpt2, texts.filter(portable)))},\n"decode": ${lines(decodings)}}\n`,
);
console.log(`${texts.length} texts`);
