// What is imported first, so that the loader of modules is made before it is needed.
export default null;
