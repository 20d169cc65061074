// Starts the shim with the directory of the user's code, which is the first argument.
"use strict";

const { quickly } = require("./faas_shim/builtins.js");

quickly(() => require("./faas_shim/together.js").required("./main.js")).main();
