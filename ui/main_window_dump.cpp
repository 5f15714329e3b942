// The part of the window that is about files: VMCS dumps in, reports out; and what is read of the guest's memory.
#include <QClipboard>
#include <QFile>
#include <QFileDialog>
#include <QFileInfo>
#include <QGuiApplication>
#include <cstring>

#include "core/flow_report.h"
#include "ui/entry_check_panel.h"
#include "ui/field_panel.h"
#include "ui/heading.h"
#include "ui/main_window.h"
#include "ui/message_bar.h"
#include "ui/pdptr_panel.h"
#include "ui/text.h"
#include "ui/vmcs_view.h"

namespace vmxscope::ui {

namespace {

constexpr std::size_t kPdpteBytes = 32;

}  // namespace

void MainWindow::ask_open_dump() {
    const QString file = QFileDialog::getOpenFileName(this, QStringLiteral("Open VMCS dump"));
    if (!file.isEmpty()) open_dump(file);
}

void MainWindow::open_dump(const QString& file) {
    loader_.load_dump(file);
}

void MainWindow::paste_dump() {
    const QString text = QGuiApplication::clipboard()->text();
    if (text.trimmed().isEmpty())
        return message_->say(MessageBar::Kind::Notice, QStringLiteral("There is no text on the clipboard."),
                             QStringLiteral("Copy what the kernel logged: it begins with “VMCS”."));
    loader_.parse_dump(text.toUtf8(), QStringLiteral("the clipboard"));
}

void MainWindow::on_dump(const ImportedPtr& imported, const QString& source) {
    message_->clear();
    dump_ = imported;
    dump_source_ = source;
    update_state();
    show_dump(0);
    docks_.checks_dock->raise();
}

void MainWindow::show_dump(int at) {
    if (!dump_) return;
    QStringList names;
    for (const core::ImportedVmcs& vmcs : dump_->vmcses)
        names << QStringLiteral("%1: %2")
                     .arg(names.size() + 1)
                     .arg(vmcs.label.empty() ? qs(core::name_of(vmcs.role)) : qs(vmcs.label));
    vmcs_->head().set_dump_choice(names, at);
    show_shown(shown_dump(dump_source_, *dump_, static_cast<std::size_t>(at)));
    vmcs_->head().set_live(0, 0);
}

void MainWindow::close_dump() {
    dump_.reset();
    show_shown(nullptr);
    if (wanted_ != 0) show_seq(wanted_);
    update_state();
}

void MainWindow::on_capabilities() {
    docks_.checks->set_capabilities(session_.capabilities(), session_.why_no_capabilities());
    docks_.field->show_shown(now_, session_.capabilities() ? &*session_.capabilities() : nullptr);
}

void MainWindow::ask_save_report(const TransitionPtr& transition, const nested::Finding& finding) {
    const QString name = QStringLiteral("finding-%1-%2.json").arg(transition->seq).arg(qs(vmx::name_of(finding.field)));
    const QString file =
        QFileDialog::getSaveFileName(this, QStringLiteral("Save report"), name, QStringLiteral("JSON (*.json)"));
    if (!file.isEmpty()) save_report(transition, finding, file);
}

void MainWindow::save_report(const TransitionPtr& transition, const nested::Finding& finding, const QString& file) {
    const std::string text = core::finding_report_json(*transition, finding, session_.info());
    QFile out(file);
    const auto size = static_cast<qint64>(text.size());
    if (out.open(QIODevice::WriteOnly) && out.write(text.data(), size) == size && out.flush())
        message_->say(MessageBar::Kind::Notice, QStringLiteral("The report is in %1.").arg(file), {});
    else
        message_->say(MessageBar::Kind::Error, QStringLiteral("Cannot write %1.").arg(file),
                      QStringLiteral("Choose a folder that you may write to."));
}

void MainWindow::ask_pdptes() {
    wanted_pdptes_ = 0;
    if (!now_ || now_->dump || session_.state() != Session::State::Held) return;
    const nested::Transition& t = *now_->transition;
    if (t.seq != session_.live_seq() || t.context.pae != true) return;
    // Without EPT the CR3 of vmcs02 is L0's own.
    const vmx::Value& cr3 = (t.context.enable_ept == true ? t.vmcs02_after : t.vmcs12_after)[vmx::Field::GUEST_CR3];
    if (!cr3.known()) return;
    constexpr std::uint64_t kTable = 0xffffffe0;  // PAE paging: bits 31:5 (SDM Vol. 3A, table 4-7)
    wanted_pdptes_ = session_.read_memory({0, t.vcpu, core::Space::L2Physical, cr3.bits & kTable, kPdpteBytes});
}

void MainWindow::on_memory(const MemoryAnswer& answer) {
    if (answer.request.id != wanted_pdptes_) return;
    if (answer.bytes.size() != kPdpteBytes) return docks_.pdptrs->show_no_memory(answer.error);
    std::array<std::uint64_t, 4> entries{};
    std::memcpy(entries.data(), answer.bytes.data(), kPdpteBytes);
    docks_.pdptrs->show_memory(entries);
}

}  // namespace vmxscope::ui
