// A library, and no plugin.
extern "C" int something_else() {
    return 0;
}
