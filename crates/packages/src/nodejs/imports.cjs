// Tells which modules JavaScript files import. Nothing is imported or run: static imports come from this engine's own
// parser, `require("x")` and `import("x")` with a literal are looked for between comments and texts.
//
// stdin: one `local path <TAB> path in the bundle` a line. Last argument: the runtime's version, such as 20.
// stdout: {"exact": bool, "builtin": [...], "imports": [{"module", "names", "file", "line", "optional"}], "unread": [...]}

const fs = require("node:fs");
const { builtinModules } = require("node:module");
const vm = require("node:vm");

// After these a slash begins a regular expression.
const BEFORE_REGEX = /(?:^|[(,=:[!&|?{};+\-*%~^<>]|\b(?:return|typeof|case|in|of|do|else|void|delete|throw|new|await|yield))\s*$/;

/** The source with comments, regular expressions and templates blanked out; texts stay. */
function bare(source) {
  let out = "";
  let at = 0;
  const blank = (end) => {
    out += source.slice(at, end).replace(/[^\n]/g, " ");
    at = end;
  };
  const after = (pattern, from) => {
    pattern.lastIndex = from;
    return pattern.exec(source) ? pattern.lastIndex : source.length;
  };
  while (at < source.length) {
    const two = source.slice(at, at + 2);
    if (two === "//") blank(after(/(?=\n)/g, at));
    else if (two === "/*") blank(after(/\*\//g, at + 2));
    else if (two[0] === "/" && BEFORE_REGEX.test(out.slice(-40))) {
      blank(after(/(?:[^\\/[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])*(?:\/|(?=\n))/y, at + 1));
    } else if (two[0] === "`") blank(after(/(?:[^\\`]|\\[^])*`/y, at + 1));
    else if (two[0] === '"' || two[0] === "'") {
      const end = after(two[0] === '"' ? /(?:[^\\"\n]|\\[^])*(?:"|(?=\n))/y : /(?:[^\\'\n]|\\[^])*(?:'|(?=\n))/y, at + 1);
      out += source.slice(at, end);
      at = end;
    } else out += source[at++];
  }
  return out;
}

/** Static imports, or null where this is no module or cannot be parsed as one. */
function statics(source) {
  try {
    const module = new vm.SourceTextModule(source);
    return (module.moduleRequests ?? module.dependencySpecifiers).map((one) => one.specifier ?? one);
  } catch {
    return null;
  }
}

function lineOf(source, index) {
  return source.slice(0, index).split("\n").length;
}

const imports = [];
const unread = [];

function look(path, source) {
  const text = bare(source);
  const note = (module, index, optional) =>
    imports.push({ module, names: [], file: path, line: lineOf(source, Math.max(index, 0)), optional });
  const found = statics(source);
  for (const module of found ?? []) {
    const quoted = [`"${module}"`, `'${module}'`].map((word) => text.indexOf(word)).filter((index) => index >= 0);
    note(module, Math.min(...quoted, text.length), false);
  }
  const tries = /\btry\s*\{[^{}]*$/;
  for (const match of text.matchAll(/(?<![.\w$])(?:require|require\.resolve|import)\s*\(\s*(?:"([^"\n]+)"|'([^'\n]+)')\s*[),]/g)) {
    note(match[1] ?? match[2], match.index, tries.test(text.slice(0, match.index)));
  }
  if (found === null) {
    try {
      new vm.Script(`(function () {${source.replace(/^#!/, "//")}\n})`);
    } catch {
      unread.push(path);
    }
  }
}

for (const row of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const [local, path] = row.split("\t");
  try {
    look(path, fs.readFileSync(local, "utf8"));
  } catch {
    unread.push(path);
  }
}

const exact = process.versions.node.split(".")[0] === process.argv.at(-1);
process.stdout.write(JSON.stringify({ exact, builtin: builtinModules, imports, unread }));
