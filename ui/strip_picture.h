// What the strip of the whole past shows, made by the worker for the pixels that there are: never more, whatever the
// past's length.
#pragma once

#include <QString>
#include <array>
#include <cstdint>
#include <vector>

namespace vmxscope::ui {

struct StripRequest {
    quint64 from_tsc = 0, to_tsc = 0;  // 0, 0: all of it
    int width = 0;                     // pixels
};

/// Something to be seen from afar.
struct StripMark {
    quint64 tsc = 0, seq = 0;
    enum class What : std::uint8_t { Undefined, Alarm, Bookmark } what = What::Undefined;  // Undefined: or a finding
    QString note;                                                                          // a bookmark's
};

struct StripPicture {
    StripRequest request;                 // with the times that it is of
    quint64 first_tsc = 0, last_tsc = 0;  // of the past
    struct Lane {
        quint32 vcpu = 0;
        std::vector<std::array<float, 3>> shares;  // of each pixel's time: L0, L1, L2; their sum may be less than 1
    };
    std::vector<Lane> lanes;
    std::vector<StripMark> marks;  // within it
};

}  // namespace vmxscope::ui
