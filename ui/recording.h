// A recording in the window: what is asked for, how far it is, what came of it.
#pragma once

#include <QMetaType>
#include <QString>

#include "core/recorder.h"

namespace vmxscope::ui {

struct RecordRequest {
    core::RecorderOptions options;
    core::RecordSettings settings;
};

struct RecordProgress {
    quint64 transitions = 0, kept = 0, bytes = 0;
    quint64 lost = 0;    // records
    quint64 missed = 0;  // transitions
};

struct Recorded {
    QString file;
    RecordProgress all;
    quint64 found = 0;  // the transition that ended it; 0: it was ended otherwise
};

}  // namespace vmxscope::ui
