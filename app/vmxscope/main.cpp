// vmxscope: the window.
#include <CLI/CLI.hpp>
#include <QApplication>
#include <QTimer>
#include <csignal>
#include <cstdio>
#include <string>

#include "app/backends.h"
#include "app/vmxscope/display.h"
#include "ui/main_window.h"
#include "ui/screenshot.h"

namespace {

using namespace vmxscope;

constexpr const char* kExamples = R"(Examples:
  vmxscope                                    the window, with a list of targets to choose from
  vmxscope lab:pae-ept                        starts the lab's guest and attaches to it
  vmxscope kvm:1234                           attaches to the QEMU process 1234 on this machine
  vmxscope libvirt:l1                         attaches to the domain l1 of libvirt's
  vmxscope boot.vxt                           goes through a recording; needs no VT-x and no lab
  vmxscope dmesg.txt                          shows the VMCSs that a kernel logged; also of a saved virtual machine
  vmxscope --evidence all lab:pae-ept         with every VMREAD and VMWRITE of KVM's: who wrote each value
  vmxscope --screenshot exit.png --steps 2 --kind nested lab:pae-ept
                                              a picture of the first nested exit, without a person

Keys: F10 step, F9 next nested, F11 next nested entry, Shift+F11 next nested exit, F5 continue, F6 interrupt,
Alt+Left back, Alt+Right forward in what was seen, Alt+End to the present, Ctrl+G go to, F3 next match,
Ctrl+F find a field, Ctrl+D only differences, Alt+Up and Alt+Down through the list.)";

struct Options {
    std::string target, screenshot, kind = "transition", theme = "system", evidence, panel, field;
    int steps = 1, timeout_s = 600;
};

ui::ThemeChoice theme_of(const std::string& name) {
    return name == "light" ? ui::ThemeChoice::Light : name == "dark" ? ui::ThemeChoice::Dark : ui::ThemeChoice::System;
}

void add_options(CLI::App& cli, Options& o) {
    cli.footer(kExamples);
    cli.set_version_flag("--version", std::string("vmxscope ") + VMXSCOPE_VERSION);
    cli.add_option("TARGET", o.target,
                   "What to attach to: lab:NAME, kvm:PID, libvirt:DOMAIN, tcp:HOST:PORT, unix:PATH; a trace (.vxt); or a file with a VMCS dump");
    cli.add_option("--evidence", o.evidence,
                   "Which of KVM's VMREADs and VMWRITEs are watched; all slows the guest down")
        ->check(CLI::IsMember({"none", "pdptr", "all"}));
    auto* shot =
        cli.add_option("--screenshot", o.screenshot, "Attach, step, save the window as this PNG file, and end; without TARGET: the list of them");
    cli.add_option("--steps", o.steps, "With --screenshot: steps before the picture")
        ->check(CLI::Range(0, 1'000'000))
        ->needs(shot);
    cli.add_option("--kind", o.kind, "With --screenshot: what a step is")
        ->check(CLI::IsMember({"transition", "nested", "entry", "exit"}))
        ->needs(shot);
    cli.add_option("--timeout", o.timeout_s, "With --screenshot: seconds to wait for a stop")
        ->check(CLI::Range(1, 86'400))
        ->needs(shot);
    cli.add_option("--panel", o.panel, "With --screenshot: which panel is in front")
        ->check(CLI::IsMember({"pdptrs", "field", "history", "findings", "checks", "memory", "compare", "notes"}))
        ->needs(shot);
    cli.add_option("--field", o.field, "With --screenshot: which field is selected")->needs(shot);
    cli.add_option_function<std::string>("--connect", app::choose_libvirt, app::kConnectHelp)->type_name("URI");
    cli.add_option("--theme", o.theme, "Colours")->check(CLI::IsMember({"system", "light", "dark"}));
}

int complain(const std::string& sentence) {
    std::fprintf(stderr, "vmxscope: %s\n", sentence.c_str());
    return 1;
}

int take_screenshot(ui::MainWindow& window, ui::Session& session, const Options& o) {
    ui::ScreenshotJob job;
    job.target = QString::fromStdString(o.target);
    job.file = QString::fromStdString(o.screenshot);
    job.steps = o.steps;
    job.kind = *core::step_kind_by_name(o.kind);
    job.limit_s = o.timeout_s;
    job.panel = QString::fromStdString(o.panel);
    job.field = vmx::field_by_name(o.field);
    if (!o.field.empty() && !job.field) return complain("No VMCS field is called " + o.field + ".");
    ui::Screenshot shot(window, session, job);
    QObject::connect(&shot, &ui::Screenshot::progress,
                     [](const QString& text) { std::fprintf(stderr, "%s\n", text.toUtf8().constData()); });
    int status = 0;
    QObject::connect(&shot, &ui::Screenshot::done, [&](const QString& error) {
        status = error.isEmpty() ? 0 : complain(error.toStdString());
        QCoreApplication::exit(status);
    });
    QTimer::singleShot(0, &shot, &ui::Screenshot::start);
    return QApplication::exec();
}

/// What Qt says about a picture that nobody sees being drawn: sizes it cannot hint, a session folder it does not need.
void quiet_offscreen(QtMsgType, const QMessageLogContext&, const QString& text) {
    const bool noise =
        text.contains(QLatin1String("propagateSizeHints")) || text.contains(QLatin1String("XDG_RUNTIME_DIR"));
    if (!noise) std::fprintf(stderr, "%s\n", text.toUtf8().constData());
}

/// Ctrl-C in the terminal closes the window as the user would, so that the target is left and no lab stays behind.
volatile std::sig_atomic_t interrupted = 0;

void close_on_signal(ui::MainWindow& window) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, [](int) { interrupted = 1; });
    auto* look = new QTimer(&window);
    QObject::connect(look, &QTimer::timeout, &window, [] {
        if (interrupted) QCoreApplication::exit(130);
    });
    look->start(200);
}

}  // namespace

int main(int argc, char** argv) {
    Options o;
    CLI::App cli{
        "Steps a nested guest's VM-entries and VM-exits and shows vmcs12 beside vmcs02, where every value "
        "came from, and what KVM did with the PDPTRs.",
        "vmxscope"};
    add_options(cli, o);
    CLI11_PARSE(cli, argc, argv);
    const bool picture = !o.screenshot.empty();
    // A picture needs no display; where one is named nevertheless, the same fonts are used without it.
    if (picture && !qEnvironmentVariableIsSet("QT_QPA_PLATFORM")) qputenv("QT_QPA_PLATFORM", "offscreen");
    if (!picture)
        if (const std::string why = app::why_no_display(); !why.empty()) return complain(why);

    if (picture) qInstallMessageHandler(quiet_offscreen);

    QApplication application(argc, argv);
    QApplication::setApplicationName(QStringLiteral("vmxscope"));
    QApplication::setOrganizationName(QStringLiteral("vmxscope"));
    QApplication::setApplicationVersion(QStringLiteral(VMXSCOPE_VERSION));
    QApplication::setDesktopFileName(QStringLiteral("vmxscope"));

    const core::Plugins plugins = app::load_plugins();
    ui::Session session(plugins.backends());
    ui::MainWindow window(session, theme_of(o.theme), !picture);
    close_on_signal(window);
    if (!o.evidence.empty()) session.set_evidence(*nested::evidence_scope_by_name(o.evidence));
    if (picture) return take_screenshot(window, session, o);
    window.show();
    if (!o.target.empty()) window.open(QString::fromStdString(o.target));
    return QApplication::exec();
}
