module.exports = async function (event, context) {
  return { event, function: context.functionName, main: process.argv.length };
};
