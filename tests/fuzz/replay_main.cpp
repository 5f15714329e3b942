// Runs a fuzz target without libFuzzer over the files of a folder, each whole, cut short, and with bits turned over.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    std::minstd_rand random;
    std::size_t files = 0;
    for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
        std::ifstream in(entry.path(), std::ios::binary);
        const std::vector<char> read{std::istreambuf_iterator<char>(in), {}};
        std::vector<std::uint8_t> bytes(read.begin(), read.end());
        for (std::size_t sixteenths = 0; sixteenths <= 16; ++sixteenths)
            LLVMFuzzerTestOneInput(bytes.data(), bytes.size() * sixteenths / 16);
        for (int i = 0; i < 64 && !bytes.empty(); ++i) {
            bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(1u << random() % 8);
            LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
        }
        ++files;
    }
    std::printf("%zu files\n", files);
    return files == 0;  // an empty corpus tests nothing
}
