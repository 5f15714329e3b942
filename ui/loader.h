// Reads files (VMCS dumps, processors by name) in threads of its own, so that the window does not wait.
#pragma once

#include <QObject>
#include <QStringList>
#include <QThreadPool>
#include <memory>

#include "core/cpu_catalog.h"
#include "core/import/import.h"

namespace vmxscope::ui {

using ImportedPtr = std::shared_ptr<const core::Imported>;

class Loader : public QObject {
    Q_OBJECT

  public:
    explicit Loader(QObject* parent = nullptr);
    /// Waits for what is being read.
    ~Loader() override;

    /// dump_loaded() or failed() follows.
    void load_dump(const QString& file);
    /// The same of text, from `source`: "the clipboard".
    void parse_dump(const QByteArray& text, const QString& source);
    /// samples_listed() follows: the recordings that come with the program.
    void list_samples();
    /// cpus_listed() follows.
    void list_cpus();
    /// cpu_loaded() or failed() follows.
    void load_cpu(const QString& name);

  signals:
    void dump_loaded(const vmxscope::ui::ImportedPtr& imported, const QString& source);
    void samples_listed(const QStringList& files);
    void cpus_listed(const QStringList& names);
    void cpu_loaded(const QString& name, const vmxscope::vmx::Capabilities& capabilities);
    void failed(const QString& what, const QString& remedy);

  private:
    void report_dump(core::Result<core::Imported> imported, const QString& source);

    QThreadPool pool_;
};

}  // namespace vmxscope::ui

Q_DECLARE_METATYPE(vmxscope::ui::ImportedPtr)
Q_DECLARE_METATYPE(vmxscope::vmx::Capabilities)
