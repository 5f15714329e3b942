#include "ui/loader.h"

#include <QDir>

#include "core/places.h"
#include "ui/text.h"

namespace vmxscope::ui {

Loader::Loader(QObject* parent) : QObject(parent) {
    qRegisterMetaType<ImportedPtr>();
    qRegisterMetaType<vmx::Capabilities>();
}

Loader::~Loader() {
    pool_.waitForDone();
}

// Signals emitted from another thread reach objects of this one through its event loop.

void Loader::load_dump(const QString& file) {
    pool_.start([this, file] { report_dump(core::import_file(file.toStdString()), file); });
}

void Loader::parse_dump(const QByteArray& text, const QString& source) {
    pool_.start([this, text, source] {
        const auto bytes = std::as_bytes(std::span(text.constData(), static_cast<std::size_t>(text.size())));
        report_dump(core::import_bytes(bytes), source);
    });
}

void Loader::report_dump(core::Result<core::Imported> imported, const QString& source) {
    if (imported)
        emit dump_loaded(std::make_shared<const core::Imported>(std::move(*imported)), source);
    else
        emit failed(qs(imported.error().what), qs(imported.error().remedy));
}

void Loader::list_samples() {
    const QStringList folders{QString::fromStdString(core::resource("traces").string())};
    pool_.start([this, folders] {
        for (const QString& name : folders) {
            const QDir folder(name);
            QStringList files;
            for (const QString& file : folder.entryList({QStringLiteral("*.vxt")}, QDir::Files, QDir::Name))
                files << QDir::cleanPath(folder.absoluteFilePath(file));
            if (files.isEmpty()) continue;
            emit samples_listed(files);
            return;
        }
    });
}

void Loader::list_cpus() {
    pool_.start([this] {
        QStringList names;
        for (const std::string& name : core::cpu_names()) names << qs(name);
        emit cpus_listed(names);
    });
}

void Loader::load_cpu(const QString& name) {
    pool_.start([this, name] {
        auto loaded = core::load_cpu(name.toStdString());
        if (loaded)
            emit cpu_loaded(name, *loaded);
        else
            emit failed(qs(loaded.error().what), qs(loaded.error().remedy));
    });
}

}  // namespace vmxscope::ui
