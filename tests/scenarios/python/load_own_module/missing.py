import some_package

handler = some_package.f
