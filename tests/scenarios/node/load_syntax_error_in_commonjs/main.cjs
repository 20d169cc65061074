exports.handler = (event) => {
  return 1 +;
};
